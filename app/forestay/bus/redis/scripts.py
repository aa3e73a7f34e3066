"""What Redis does in one step: the scripts that write and read a room's history, and the list of all scripts.

Every script first looks whether this Redis may have lost writes: `master_replid` is new after each restart and each
promotion. If so the room gets a new epoch, so that nobody takes a shorter past for the whole one; entries and offset
stay. Where a server lets no script ask for INFO, the replid that was read when the connection was made stands in.
"""

from typing import Final

from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.registry_scripts import REGISTRY
from forestay.bus.redis.script import Script, script

KEY_TTL: Final = 300
"""Seconds for which a key publishes once."""

QUIET_TTL: Final = 24 * 3600
"""Seconds by which epoch and offset outlive the entries: whoever comes back later learns that they are gone."""

# Expiries are renewed only when this much of them is gone: a look every few seconds need not be a write.
_SLACK: Final = 3600

_COMMON: Final = """
local function incarnation(otherwise)
  local info = redis.pcall('INFO', 'replication')
  return type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or otherwise
end
local function number(n) return string.format('%.0f', n) end
-- The room's epoch and offset; nil where nobody has ever asked.
local function standing(meta, run, fresh)
  local known = redis.call('HMGET', meta, 'epoch', 'run', 'offset')
  if not known[1] then return nil end
  if known[2] ~= run then
    redis.call('HSET', meta, 'epoch', fresh, 'run', run)
    known[1] = fresh
  end
  return known[1], tonumber(known[3])
end
-- The same, with a beginning made where there is none. Entries without an epoch belong to nothing.
local function opened(meta, stream, run, fresh, ttl)
  local epoch, offset = standing(meta, run, fresh)
  if epoch then return epoch, offset end
  redis.call('DEL', stream)
  redis.call('HSET', meta, 'epoch', fresh, 'run', run, 'offset', 0)
  redis.call('PEXPIRE', meta, ttl)
  return fresh, 0
end
"""


def _script(text: str) -> Script:
    return script(_COMMON + text)


PUBLISH: Final = _script(f"""
-- KEYS meta, stream, idempotency key if any
-- ARGV replid otherwise, fresh epoch, ttl, size, envelope, channel, PUBLISH or SPUBLISH
local meta, stream, once = KEYS[1], KEYS[2], KEYS[3]
local envelope, ttl = ARGV[5], tonumber(ARGV[3])
local epoch, offset = opened(meta, stream, incarnation(ARGV[1]), ARGV[2], ttl + {QUIET_TTL * 1000})
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
"""Put a message into a room's history and say it to everybody; answers epoch and offset."""

READ: Final = _script(f"""
-- KEYS meta, stream; ARGV replid otherwise, fresh epoch, ttl, since | before | newest, epoch, offset, how many
local epoch, top = opened(KEYS[1], KEYS[2], incarnation(ARGV[1]), ARGV[2], tonumber(ARGV[3]) + {QUIET_TTL * 1000})
local same, bound, most = ARGV[5] == epoch, tonumber(ARGV[6]), ARGV[7]
local found
if ARGV[4] == 'since' then
  found = redis.call('XRANGE', KEYS[2], number((same and bound or 0) + 1), '+', 'COUNT', most)
else
  local last = ARGV[4] == 'before' and same and number(math.max(bound - 1, 0)) .. '-0' or '+'
  found = redis.call('XREVRANGE', KEYS[2], last, '-', 'COUNT', most)
end
return {{epoch, top, found}}
""")
"""Read a part of a room's history; answers epoch, top and entries, those before something in descending order."""

STANDINGS: Final = _script(f"""
-- KEYS the metas; ARGV replid otherwise, fresh epoch
local run, answer = incarnation(ARGV[1]), {{}}
for number, meta in ipairs(KEYS) do
  local epoch, offset = standing(meta, run, ARGV[2])
  if epoch and redis.call('PTTL', meta) < {(QUIET_TTL - _SLACK) * 1000} then
    redis.call('EXPIRE', meta, {QUIET_TTL})
  end
  answer[2 * number - 1], answer[2 * number] = epoch or '', offset or 0
end
return answer
""")
"""Where rooms stand; answers epoch and offset of each, an empty epoch where nobody ever spoke. Keeps them alive."""

ALL: Final = (PUBLISH, READ, STANDINGS, *REGISTRY)


def load() -> bytes:
    """The commands that make all scripts known to a server; they have as many replies."""
    return b"".join(pack("SCRIPT", "LOAD", script.text) for script in ALL)
