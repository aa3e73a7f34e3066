"""The scripts of the queue of webhook events: they add, take, keep and remove events, and set them aside.

`events` is a stream. Pods read it as one consumer group, each under its own name, so Redis knows which pod has taken an
event and for how long it said nothing. An event that is delivered is removed, so the length of the stream is what
waits. `facts` is a hash with the bytes of the stream, the events that were dropped, and the receiver that has stopped.

An entry has the fields `e`, the sealed event, `p`, the position of its message, and perhaps `s`, its sequence where it
comes from a dead letter. A full Redis takes all of this but a new event: removals come first. Lengths are subtracted
from 0, because Redis up to 7.0 refuses the -0 of an empty text.
"""

from typing import Final

from forestay.bus.redis.script import script

GROUP: Final = "pods"

# Seconds after which a pod that has taken nothing, and asked for nothing, is no longer in the group.
_IDLE: Final = 600

TELL: Final = f"""
-- Add an event, and drop the oldest ones where the stream would be larger than it may be.
local function tell(stream, facts, told, most, most_bytes, receiver, position, sequence)
  if receiver ~= '' and redis.call('HGET', facts, 'stopped') == receiver then return 0 end
  if redis.call('EXISTS', stream) == 0 then
    redis.call('XGROUP', 'CREATE', stream, '{GROUP}', '0', 'MKSTREAM')
    redis.call('HDEL', facts, 'bytes')
  end
  local bytes = redis.call('HINCRBY', facts, 'bytes', #told)
  local waiting = redis.call('XLEN', stream)
  while waiting > 0 and (waiting >= tonumber(most) or bytes > tonumber(most_bytes)) do
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    redis.call('XDEL', stream, oldest[1])
    bytes = redis.call('HINCRBY', facts, 'bytes', 0 - #oldest[2][2])
    redis.call('HINCRBY', facts, 'dropped', 1)
    waiting = waiting - 1
  end
  if sequence then
    redis.call('XADD', stream, '*', 'e', told, 'p', position, 's', sequence)
  else
    redis.call('XADD', stream, '*', 'e', told, 'p', position)
  end
  return 1
end
"""
"""A function for the scripts that change what events tell of."""

_REMOVE: Final = f"""
-- Remove one event. Returns its fields, or nil where it is gone.
local function remove(stream, facts, id)
  local entry = redis.call('XRANGE', stream, id, id)[1]
  redis.call('XACK', stream, '{GROUP}', id)
  if not entry then return nil end
  redis.call('XDEL', stream, id)
  redis.call('HINCRBY', facts, 'bytes', 0 - #entry[2][2])
  return entry[2]
end
"""

TELL_MESSAGE: Final = script(f"""{TELL}
-- KEYS events, facts; ARGV envelope, channel, PUBLISH or SPUBLISH, event, most events, most bytes, receiver
tell(KEYS[1], KEYS[2], ARGV[4], ARGV[5], ARGV[6], ARGV[7], '')
redis.call(ARGV[3], ARGV[2], ARGV[1])
return 1
""")
"""Publishes a message of a room without history, and adds its event."""

TAKE: Final = script(f"""
-- KEYS events, facts, dead; ARGV pod, count, ms after which a taken event is taken again, cursor
local stream, count = KEYS[1], tonumber(ARGV[2])
if redis.call('EXISTS', stream) == 0 then return {{{{}}, '0-0'}} end
local found = {{}}
local claimed = redis.pcall('XAUTOCLAIM', stream, '{GROUP}', ARGV[1], ARGV[3], ARGV[4], 'COUNT', count, 'JUSTID')
if claimed.err then
  -- Somebody removed the group.
  redis.call('XGROUP', 'CREATE', stream, '{GROUP}', '0')
  claimed = {{'0-0', {{}}}}
end
for _, id in ipairs(claimed[2]) do
  local entry = redis.call('XRANGE', stream, id, id)[1]
  if entry then
    found[#found + 1] = entry
  else
    redis.call('XACK', stream, '{GROUP}', id)
  end
end
if #found < count then
  local new = redis.call('XREADGROUP', 'GROUP', '{GROUP}', ARGV[1], 'COUNT', count - #found, 'STREAMS', stream, '>')
  for _, entry in ipairs(new and new[1][2] or {{}}) do found[#found + 1] = entry end
end
return {{found, claimed[1]}}
""")
"""Takes events for a pod: first those that other pods took and no longer keep, then new ones.

Replies with the entries, and the cursor for the next time.
"""

HOLD: Final = script(f"""
-- KEYS events, facts, dead; ARGV pod, ms since the pod was heard of, ids
for at = 3, #ARGV do
  redis.pcall('XCLAIM', KEYS[1], '{GROUP}', ARGV[1], 0, ARGV[at], 'IDLE', ARGV[2], 'JUSTID')
end
return 1
""")
"""Keeps events for the pod that has taken them. With many milliseconds it gives them back."""

DONE: Final = script(f"""{_REMOVE}
-- KEYS events, facts, dead; ARGV ids
for _, id in ipairs(ARGV) do remove(KEYS[1], KEYS[2], id) end
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('HDEL', KEYS[2], 'bytes') end
return 1
""")
"""Removes events that are delivered."""

SET_ASIDE: Final = script(f"""{_REMOVE}
-- KEYS events, facts, dead; ARGV most, ttl, reason, attempts, time, ids
for at = 6, #ARGV do
  local fields = remove(KEYS[1], KEYS[2], ARGV[at])
  if fields then
    if redis.call('XLEN', KEYS[3]) >= tonumber(ARGV[1]) then redis.call('HINCRBY', KEYS[2], 'dropped', 1) end
    redis.call(
      'XADD', KEYS[3], 'MAXLEN', ARGV[1], '*', 'e', fields[2], 'p', fields[4], 's', fields[6] or ARGV[at],
      'r', ARGV[3], 'n', ARGV[4], 't', ARGV[5]
    )
  end
end
redis.call('EXPIRE', KEYS[3], ARGV[2])
return 1
""")
"""Makes events dead letters. Beyond the most of them the oldest ones are dropped."""

BACKLOG: Final = script(f"""
-- KEYS events, facts, dead; ARGV receiver, pod
local facts = redis.call('HMGET', KEYS[2], 'dropped', 'stopped')
if facts[1] then redis.call('HDEL', KEYS[2], 'dropped') end
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
local pods = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], '{GROUP}')
for _, pod in ipairs(pods.err and {{}} or pods) do
  -- Name, pending and idle are the first three, each behind its name.
  if pod[4] == 0 and pod[6] > {_IDLE * 1000} and pod[2] ~= ARGV[2] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], '{GROUP}', pod[2])
  end
end
return {{
  redis.call('XLEN', KEYS[1]),
  oldest and oldest[1] or '',
  tonumber(facts[1] or 0),
  redis.call('XLEN', KEYS[3]),
  facts[2] == ARGV[1] and 1 or 0,
}}
""")
"""Replies with what waits, the id of the oldest event, how many were dropped since the last time, how many dead letters
there are, and whether the receiver has stopped. Pods that are gone leave the group."""

STOP: Final = script("""
-- KEYS events, facts, dead; ARGV receiver; empty to go on
if ARGV[1] == '' then return redis.call('HDEL', KEYS[2], 'stopped') end
return redis.call('HSET', KEYS[2], 'stopped', ARGV[1])
""")
"""Notes that a receiver has stopped."""

DEAD: Final = script("""
-- KEYS events, facts, dead; ARGV start, count
return redis.call('XRANGE', KEYS[3], ARGV[1], '+', 'COUNT', ARGV[2])
""")
"""Reads dead letters."""

REPLAY: Final = script(f"""{TELL}
-- KEYS events, facts, dead; ARGV most events, most bytes, ids
local found = 0
for at = 3, #ARGV do
  local letter = redis.call('XRANGE', KEYS[3], ARGV[at], ARGV[at])[1]
  if letter then
    local fields = letter[2]
    redis.call('XDEL', KEYS[3], ARGV[at])
    tell(KEYS[1], KEYS[2], fields[2], ARGV[1], ARGV[2], '', fields[4], fields[6])
    found = found + 1
  end
end
return found
""")
"""Adds the events of dead letters again. Replies with how many there were."""

FORGET: Final = script("""
-- KEYS events, facts, dead; ARGV ids
return redis.call('XDEL', KEYS[3], unpack(ARGV))
""")
"""Deletes dead letters. Replies with how many there were."""

EVENT_SCRIPTS: Final = (TELL_MESSAGE, TAKE, HOLD, DONE, SET_ASIDE, BACKLOG, STOP, DEAD, REPLAY, FORGET)
