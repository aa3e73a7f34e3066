"""The scripts that write and read the history of a room, and the list of all scripts.

Every script first checks whether this Redis may have lost writes, as `incarnations.py` says. If so the room gets a new
epoch, so that no client takes a shorter history for the whole one; entries and offset stay. A room has the incarnation
in which it was seen last, and the origin of that one where it is another. Releases before this one know no origin, and
so they give a room a new epoch with each incarnation. Some servers let no script ask for INFO. Then the replid that was
read at connect time is used.

A question stores nothing about a room. A room without messages has the *first epoch*, which is the same for all such
rooms, and its first message takes it. The first epoch comes from a seed, the origin, the number of evicted keys and the
time. So no room gets the same one twice: the seed is lost with a flush, a new origin comes with a restart, and after
two spans a room's keys may have expired. Releases before this one know no first epoch. While such a pod is there, the
epoch of an empty room is stored when somebody asks for it.

In a full Redis a script fails without any effect. Redis checks this only until the first write of a script, and only
for commands that need memory. So such a command comes first.
"""

from typing import Final

from forestay.bus.redis.event_scripts import EVENT_SCRIPTS, TELL
from forestay.bus.redis.incarnations import INCARNATION, SEED_TTL
from forestay.bus.redis.registry_scripts import REGISTRY_SCRIPTS
from forestay.bus.redis.script import Script, script
from forestay.core.rules.policies import KEY_TTL, QUIET_TTL

# Entries that a script reads at once: at first, and when it knows how large they are.
_FIRST_PART: Final = 8
_LARGEST_PART: Final = 500

# Seconds for which the first epoch stays. Twice as long is at most QUIET_TTL, after which a room can be forgotten.
_SPAN: Final = QUIET_TTL // 2

# Expiries are renewed only when this much of them is gone: a read every few seconds need not be a write.
_RENEW_AFTER: Final = 3600

_COMMON: Final = f"""{INCARNATION}
local function number(n) return string.format('%.0f', n) end
local function short(text) return string.sub(redis.sha1hex(text), 1, 20) end
-- The epoch and the offset of a room; nil if it has none yet. Also right where a full Redis cannot store the epoch.
local function position(meta, seed, run)
  local known = redis.call('HMGET', meta, 'epoch', 'run', 'offset')
  if not known[1] then return nil end
  if known[2] ~= run then
    local origin = origin_of(seed, run)
    if (redis.call('HGET', meta, 'origin') or known[2]) ~= origin then known[1] = short(known[1] .. ' ' .. run) end
    redis.pcall('HSET', meta, 'epoch', known[1], 'run', run, 'origin', origin)
  end
  return known[1], tonumber(known[3])
end
-- The first epoch, `ago` spans ago.
local function first_epoch(seed, origin, new_epoch, ago)
  local known = redis.call('HMGET', seed, 'id', 'since')
  local now = tonumber(redis.call('TIME')[1])
  if not known[1] then
    known = {{new_epoch, now}}
    local stored = redis.pcall('HSET', seed, 'id', new_epoch, 'since', now)
    if type(stored) == 'number' then redis.call('EXPIRE', seed, {SEED_TTL}) end
  end
  local evicted = fact('stats', 'evicted_keys') or ''
  local span = math.floor((now - tonumber(known[2])) / {_SPAN}) - ago
  return short(table.concat({{origin, known[1], evicted, span}}, ' '))
end
-- Store the epoch of a room that has none, if a full Redis takes it.
local function open(meta, stream, seed, run, new_epoch, ttl)
  -- Entries without an epoch belong to nothing, and the room had messages.
  local lost = redis.call('EXISTS', stream) == 1
  local origin = origin_of(seed, run)
  local epoch = lost and new_epoch or first_epoch(seed, origin, new_epoch, 0)
  if type(redis.pcall('HSET', meta, 'epoch', epoch, 'run', run, 'offset', 0)) == 'number' then
    if origin ~= run then redis.call('HSET', meta, 'origin', origin) end
    redis.call('PEXPIRE', meta, ttl)
    redis.call('DEL', stream)
  end
  return epoch, 0
end
"""


def _script(text: str) -> Script:
    return script(_COMMON + text)


_FITTING: Final = """
-- How many entries stay with a new one of `added` bytes, and their bytes together.
local function fitting(meta, stream, top, size, limit, added)
  local known = redis.call('HMGET', meta, 'bytes', 'at')
  local edge, kept, total, asked = '-', 1, added, 2
  if known[2] == number(top) then
    -- The sum is known. The oldest entries go until the rest fits.
    total = total + tonumber(known[1])
    repeat
      local part = redis.call('XRANGE', stream, edge, '+', 'COUNT', asked)
      for _, entry in ipairs(part) do
        local offset = tonumber(string.match(entry[1], '^%d+'))
        if total <= limit and top - offset + 2 <= size then return top - offset + 2, total end
        total = total - #entry[2][2]
        edge = number(offset + 1)
      end
      asked = 2 * asked
    until #part == 0
    return 1, added
  end
  -- A publish without this limit came last. The newest entries stay as long as they fit.
  edge = '+'
  repeat
    local part = redis.call('XREVRANGE', stream, edge, '-', 'COUNT', 16)
    for _, entry in ipairs(part) do
      if kept == size or total + #entry[2][2] > limit then return kept, total end
      kept, total = kept + 1, total + #entry[2][2]
      edge = number(tonumber(string.match(entry[1], '^%d+')) - 1) .. '-0'
    end
  until #part < 16 or edge == '0-0'
  return kept, total
end
"""

PUBLISH: Final = _script(f"""{_FITTING}{TELL}
-- KEYS meta, stream, seed, idempotency key if any, and perhaps events, facts
-- ARGV replid without INFO, new epoch, ttl, size, envelope, channel, PUBLISH or SPUBLISH
-- and perhaps bytes (0: no limit), 0 if the room may not be new, with a key the digest of the content
-- and then perhaps an event, most events, most bytes, receiver
local meta, stream, once = KEYS[1], KEYS[2], #KEYS % 2 == 0 and KEYS[4] or nil
local run, envelope, ttl = incarnation(ARGV[1]), ARGV[5], tonumber(ARGV[3])
if once then
  local earlier = redis.call('HMGET', once, 'epoch', 'offset', 'of')
  -- Releases before this one store no digest.
  if earlier[3] and earlier[3] ~= ARGV[10] then return {{'', 1}} end
  if earlier[1] then return {{earlier[1], tonumber(earlier[2])}} end
end
local epoch, offset = position(meta, KEYS[3], run)
if not epoch and ARGV[9] == '0' then return {{'', 0}} end
if not epoch then epoch, offset = open(meta, stream, KEYS[3], run, ARGV[2], ttl) end
local size, limit, bytes = ARGV[4], tonumber(ARGV[8] or 0)
if limit > 0 then size, bytes = fitting(meta, stream, offset, tonumber(size), limit, #envelope) end
offset = redis.call('HINCRBY', meta, 'offset', 1)
local place = number(offset)
if bytes then redis.call('HSET', meta, 'bytes', number(bytes), 'at', place) end
redis.call('XADD', stream, 'MAXLEN', size, place .. '-0', 'm', envelope)
redis.call('PEXPIRE', stream, ttl)
redis.call('PEXPIRE', meta, ttl + {QUIET_TTL * 1000})
if once then
  redis.call('HSET', once, 'epoch', epoch, 'offset', place, 'of', ARGV[10])
  redis.call('EXPIRE', once, {KEY_TTL})
end
if #KEYS > 4 then
  local facts, last = KEYS[#KEYS], #ARGV
  tell(KEYS[#KEYS - 1], facts, ARGV[last - 3], ARGV[last - 2], ARGV[last - 1], ARGV[last], epoch .. ':' .. place)
end
redis.call(ARGV[7], ARGV[6], 'H' .. epoch .. ':' .. place .. ':' .. envelope)
return {{epoch, offset}}
""")
"""Adds a message to the history of a room and publishes it, and its event. Replies with epoch and offset.

The epoch is empty where the message is refused: with the offset 0 the room would be new, with 1 the key is of another
content.
"""

READ: Final = _script(f"""
-- KEYS meta, stream, seed
-- ARGV replid without INFO, new epoch, ttl to store an epoch, since | before | newest, epoch, offset, count, bytes
local run, ttl = incarnation(ARGV[1]), tonumber(ARGV[3])
local epoch, top = position(KEYS[1], KEYS[3], run)
if not epoch and ttl > 0 then
  epoch, top = open(KEYS[1], KEYS[2], KEYS[3], run, ARGV[2], ttl + {QUIET_TTL * 1000})
elseif not epoch then
  -- The first epoch of the span before is as good: what the room had since then could not have expired.
  local origin = origin_of(KEYS[3], run)
  local before = first_epoch(KEYS[3], origin, ARGV[2], 1)
  return {{ARGV[5] == before and before or first_epoch(KEYS[3], origin, ARGV[2], 0), 0, {{}}, 0, 0}}
end
local same, bound, count, left = ARGV[5] == epoch, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local verb, edge, limit, step = 'XREVRANGE', '+', '-', -1
if ARGV[4] == 'since' then
  verb, edge, limit, step = 'XRANGE', number((same and bound or 0) + 1), '+', 1
elseif ARGV[4] == 'before' and same then
  edge = number(math.max(bound - 1, 0)) .. '-0'
end
local found, first, used, asked = {{}}, 0, 0, {_FIRST_PART}
while true do
  -- In parts, because nothing tells how large the entries are before they are read.
  asked = math.min(asked, count - #found + 1)
  local part = redis.call(verb, KEYS[2], edge, limit, 'COUNT', asked)
  for _, entry in ipairs(part) do
    edge = tonumber(string.match(entry[1], '^%d+'))
    if first == 0 then first = edge end
    local size = #entry[2][2]
    if #found == count or (#found > 0 and used + size > left) then return {{epoch, top, found, 1, first}} end
    used = used + size
    found[#found + 1] = entry
  end
  if #part < asked or (step < 0 and edge == 0) then return {{epoch, top, found, 0, first}} end
  edge = number(edge + step) .. (step < 0 and '-0' or '')
  asked = math.max(1, math.min({_LARGEST_PART}, math.floor((left - used) * #found / math.max(used, 1)) + 1))
end
""")
"""Reads a part of the history of a room.

Replies with epoch, top, the entries, 1 where more follow, and the offset of the first one that was found. Entries
before a position and the newest ones come in descending order.
"""

FORGET: Final = _script("""
-- KEYS meta, stream, seed; ARGV replid without INFO
local messages = redis.call('XLEN', KEYS[2])
-- First: a full Redis takes what follows on a removal.
redis.call('DEL', KEYS[2])
redis.call('HDEL', KEYS[1], 'bytes', 'at')
local epoch, offset = position(KEYS[1], KEYS[3], incarnation(ARGV[1]))
return {epoch or '', offset or 0, messages}
""")
"""Deletes the messages of a room. Replies with epoch and offset, which stay, and with the number of the messages.

The epoch is empty if the room has none.
"""

POSITIONS: Final = _script(f"""
-- KEYS the metas; to store epochs also the streams, in the same order; the seed
-- ARGV replid without INFO, new epoch, number of rooms
local run, answer, rooms, seed = incarnation(ARGV[1]), {{}}, tonumber(ARGV[3]), KEYS[#KEYS]
-- Also where no room needs it: this incarnation has been seen now.
origin_of(seed, run)
for number = 1, rooms do
  local meta = KEYS[number]
  local epoch, offset = position(meta, seed, run)
  if not epoch and #KEYS > rooms + 1 then
    epoch, offset = open(meta, KEYS[rooms + number], seed, run, ARGV[2], {QUIET_TTL * 1000})
  elseif epoch and redis.call('PTTL', meta) < {(QUIET_TTL - _RENEW_AFTER) * 1000} then
    redis.call('EXPIRE', meta, {QUIET_TTL})
  end
  answer[2 * number - 1], answer[2 * number] = epoch or '', offset or 0
end
return answer
""")
"""Replies with epoch and offset of each room, and renews their expiry. The epoch is empty if a room has none yet."""

SCRIPTS: Final = (PUBLISH, READ, FORGET, POSITIONS, *REGISTRY_SCRIPTS, *EVENT_SCRIPTS)
"""All scripts of the bus. A server must know them before they are called."""
