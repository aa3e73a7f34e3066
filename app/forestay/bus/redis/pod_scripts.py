"""The scripts of the registry that keep the pods: their heartbeats, which of them there are, and their end."""

from typing import Final

from forestay.bus.redis.incarnations import INCARNATION, SEED_TTL
from forestay.bus.redis.script import script

_NOW: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
"""

HEARTBEAT: Final = script(
    INCARNATION
    + _NOW
    + f"""
-- KEYS leases, revocations, load, seed
-- ARGV pod, lease in ms, the last revocation that the pod knows, connections, new epoch
local until_when = redis.call('ZSCORE', KEYS[1], ARGV[1])
local known = until_when and tonumber(until_when) > now and 1 or 0
-- It changes nothing. Redis refuses it where it would refuse a user.
local refused = redis.pcall('ZADD', KEYS[1], 'XX', 0, '')
redis.call('HDEL', KEYS[3], ARGV[1])
if redis.call('HEXISTS', KEYS[4], 'id') == 0 then redis.call('HSET', KEYS[4], 'id', ARGV[5], 'since', time[1]) end
redis.call('EXPIRE', KEYS[4], {SEED_TTL})
local run = incarnation()
if run then origin_of(KEYS[4], run) end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], '+' .. ARGV[4])
local seed = redis.call('HMGET', KEYS[4], 'id', 'since', 'changed')
return {{
  known,
  redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf'),
  redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now),
  redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[3], '+inf', 'WITHSCORES'),
  redis.call('HGETALL', KEYS[3]),
  seed[1],
  type(refused) == 'table' and 1 or 0,
  tonumber(time[1]) - math.max(tonumber(seed[2]) or 0, tonumber(seed[3]) or 0),
}}
"""
)
"""Extends the lease of a pod and stores its number of connections. Makes the seed of the first epoch, if there is none,
and keeps there which incarnation it saw.

Replies with whether the pod had a lease, the pods that have one, those whose lease has ended, the revocations since the
last one that the pod knows, the connections of each pod, the seed, which is another one after a loss of all data,
whether Redis takes no new users now, and for how many seconds it has lost nothing, as far as the scripts saw. The
number of connections has a plus sign. Releases that know no first epoch write it without one.
"""

PODS: Final = script("""
-- KEYS leases, load, seed
return {
  redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '+inf'),
  redis.call('HGETALL', KEYS[2]),
  redis.call('HMGET', KEYS[3], 'id')[1],
}
""")
"""Replies with the pods that have a lease or had one and were not reaped, and with the connections of those that serve.

Also with the seed, which is another one after a loss of all data.
"""

RETIRE: Final = script(
    _NOW
    + """
-- KEYS leases, load, seed; ARGV pod, ms left
redis.call('HDEL', KEYS[2], ARGV[1])
if tonumber(ARGV[2]) > 0 then return redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1]) end
redis.call('ZREM', KEYS[1], ARGV[1])
if redis.call('ZCARD', KEYS[1]) == 0 then redis.call('DEL', KEYS[3]) end
return 1
"""
)
"""Shortens the lease of a pod, or ends it, and forgets its number of connections. The last pod takes the seed along."""
