"""The scripts that write and read the history of a room, and the list of all scripts.

Every script first checks whether this Redis may have lost writes: `master_replid` is new after each restart and each
promotion. If so the room gets a new epoch, so that no client takes a shorter history for the whole one; entries and
offset stay. Some servers let no script ask for INFO. Then the replid that was read at connect time is used.
"""

from typing import Final

from forestay.bus.redis.registry_scripts import REGISTRY_SCRIPTS
from forestay.bus.redis.script import Script, script

KEY_TTL: Final = 300
"""Seconds for which an idempotency key publishes once."""

QUIET_TTL: Final = 24 * 3600
"""Seconds by which epoch and offset outlive the entries: a client that comes back later learns that they are gone."""

# Entries that a script reads at once: at first, and when it knows how large they are.
_FIRST_PART: Final = 8
_LARGEST_PART: Final = 500

# Expiries are renewed only when this much of them is gone: a read every few seconds need not be a write.
_RENEW_AFTER: Final = 3600

_COMMON: Final = """
local function incarnation(otherwise)
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or otherwise
end
local function number(n) return string.format('%.0f', n) end
-- The epoch and the offset of a room; nil if it has none yet.
local function position(meta, run, new_epoch)
  local known = redis.call('HMGET', meta, 'epoch', 'run', 'offset')
  if not known[1] then return nil end
  if known[2] ~= run then
    redis.call('HSET', meta, 'epoch', new_epoch, 'run', run)
    known[1] = new_epoch
  end
  return known[1], tonumber(known[3])
end
-- The same, but creates them if there are none. Entries without an epoch belong to nothing.
local function open(meta, stream, run, new_epoch, ttl)
  local epoch, offset = position(meta, run, new_epoch)
  if epoch then return epoch, offset end
  redis.call('DEL', stream)
  redis.call('HSET', meta, 'epoch', new_epoch, 'run', run, 'offset', 0)
  redis.call('PEXPIRE', meta, ttl)
  return new_epoch, 0
end
"""


def _script(text: str) -> Script:
    return script(_COMMON + text)


PUBLISH: Final = _script(f"""
-- KEYS meta, stream, idempotency key if any
-- ARGV replid without INFO, new epoch, ttl, size, envelope, channel, PUBLISH or SPUBLISH
local meta, stream, once = KEYS[1], KEYS[2], KEYS[3]
local envelope, ttl = ARGV[5], tonumber(ARGV[3])
local epoch, offset = open(meta, stream, incarnation(ARGV[1]), ARGV[2], ttl + {QUIET_TTL * 1000})
if once then
  local earlier = redis.call('HMGET', once, 'epoch', 'offset')
  if earlier[1] then return {{earlier[1], tonumber(earlier[2])}} end
end
offset = redis.call('HINCRBY', meta, 'offset', 1)
local place = number(offset)
redis.call('XADD', stream, 'MAXLEN', ARGV[4], place .. '-0', 'm', envelope)
redis.call('PEXPIRE', stream, ttl)
redis.call('PEXPIRE', meta, ttl + {QUIET_TTL * 1000})
if once then
  redis.call('HSET', once, 'epoch', epoch, 'offset', place)
  redis.call('EXPIRE', once, {KEY_TTL})
end
redis.call(ARGV[7], ARGV[6], 'H' .. epoch .. ':' .. place .. ':' .. envelope)
return {{epoch, offset}}
""")
"""Adds a message to the history of a room and publishes it. Replies with epoch and offset."""

READ: Final = _script(f"""
-- KEYS meta, stream; ARGV replid without INFO, new epoch, ttl, since | before | newest, epoch, offset, count, bytes
local epoch, top = open(KEYS[1], KEYS[2], incarnation(ARGV[1]), ARGV[2], tonumber(ARGV[3]) + {QUIET_TTL * 1000})
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

POSITIONS: Final = _script(f"""
-- KEYS the metas; ARGV replid without INFO, new epoch
local run, answer = incarnation(ARGV[1]), {{}}
for number, meta in ipairs(KEYS) do
  local epoch, offset = position(meta, run, ARGV[2])
  if epoch and redis.call('PTTL', meta) < {(QUIET_TTL - _RENEW_AFTER) * 1000} then
    redis.call('EXPIRE', meta, {QUIET_TTL})
  end
  answer[2 * number - 1], answer[2 * number] = epoch or '', offset or 0
end
return answer
""")
"""Replies with epoch and offset of each room, and renews their expiry. The epoch is empty if a room has none yet."""

SCRIPTS: Final = (PUBLISH, READ, POSITIONS, *REGISTRY_SCRIPTS)
"""All scripts of the bus. A server must know them before they are called."""
