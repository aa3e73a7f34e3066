"""The scripts of the registry: members of rooms, connections of users, and revocations.

For each room `members` maps a user to the entries of all pods, in MessagePack: `{pod: [connections, info]}`. The empty
user stands for the sum of all connections. `users` has the same users in order. The rooms and users in which a pod has
entries are in sets that it owns, one of each kind per partition.

A full Redis refuses a script that needs memory, unless the script has written before. So a script that makes the data
grow begins with the write that needs memory, and fails without any effect. A script that ends something begins with a
removal, and works in a full Redis too: a pod leaves, a lease goes on, a connection is no longer counted.
"""

from typing import Final

from forestay.bus.redis.event_scripts import TELL
from forestay.bus.redis.pod_scripts import HEARTBEAT, PODS, RETIRE
from forestay.bus.redis.script import script
from forestay.bus.redis.ticket_scripts import KEEP_TICKET, USE_TICKET

PUT: Final = script(f"""{TELL}
-- KEYS members, users, rooms owned by the pod, and perhaps events, facts
-- ARGV pod, user, connections, info, room, news, channel, PUBLISH or SPUBLISH
-- and perhaps an event, most events, most bytes, receiver
local members, users, owned = KEYS[1], KEYS[2], KEYS[3]
local pod, user, connections = ARGV[1], ARGV[2], tonumber(ARGV[3])
local stored = redis.call('HGET', members, user)
local pods = stored and cmsgpack.unpack(stored) or {{}}
local occupied = ARGV[9] and redis.call('ZCARD', users) > 0
local before, mine = next(pods) ~= nil, pods[pod]
local change = connections - (mine and mine[1] or 0)
pods[pod] = connections > 0 and {{connections, ARGV[4]}} or nil
local after = next(pods) ~= nil
-- A full Redis takes this as a removal.
if change < 0 then redis.call('HDEL', members, user) end
if connections > 0 then redis.call('SADD', owned, ARGV[5]) end
if after then
  redis.call('HSET', members, user, cmsgpack.pack(pods))
  redis.call('ZADD', users, 0, user)
elseif before then
  redis.call('HDEL', members, user)
  redis.call('ZREM', users, user)
end
if redis.call('ZCARD', users) == 0 then
  redis.call('DEL', members)
elseif change ~= 0 then
  redis.call('HINCRBY', members, '', change)
end
if before ~= after and ARGV[6] ~= '' then redis.call(ARGV[8], ARGV[7], ARGV[6]) end
if ARGV[9] and occupied ~= (redis.call('ZCARD', users) > 0) then
  tell(KEYS[4], KEYS[5], ARGV[9], ARGV[10], ARGV[11], ARGV[12], '')
end
return 1
""")
"""Sets the number of connections that a user has in a room on a pod. Publishes `news` if the user joined or left.

Adds the event if the room has become occupied or vacated.
"""

DISOWN: Final = script("""
-- KEYS rooms owned by the pod; ARGV room
return redis.call('SREM', KEYS[1], ARGV[1])
""")
"""Removes a room from those in which a pod has members."""

PAGE: Final = script("""
-- KEYS members, users; ARGV start of the page, count, bytes
local found = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], '+', 'LIMIT', 0, ARGV[2] + 1)
local answer, left, more = {}, tonumber(ARGV[3]), 0
-- It changes nothing: the empty user is not among them. Redis refuses it where it would refuse a user.
local refused = redis.pcall('ZADD', KEYS[2], 'XX', 0, '')
for at, user in ipairs(found) do
  local entries = redis.call('HGET', KEYS[1], user) or ''
  left = left - #user - #entries
  if at > tonumber(ARGV[2]) or (at > 1 and left < 0) then
    more = 1
    break
  end
  answer[2 * at - 1], answer[2 * at] = user, entries
end
local connections = tonumber(redis.call('HGET', KEYS[1], '') or 0)
return {connections, redis.call('ZCARD', KEYS[2]), answer, more, type(refused) == 'table' and 1 or 0}
""")
"""Reads a page of a room's members.

Replies with connections, users, each user of the page with the entries of the pods, 1 where more users follow, and 1
where Redis takes no more users: it is full or a replica, or cannot store its data.
"""

OWNED: Final = script("""
-- KEYS rooms owned by a pod, users owned by it
return {redis.call('SMEMBERS', KEYS[1]), redis.call('SMEMBERS', KEYS[2])}
""")
"""Replies with the rooms and the users of one partition in which a pod has entries."""

MEMBERS: Final = script("""
-- KEYS members; ARGV pod
local all, found = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #all, 2 do
  if all[at] ~= '' and cmsgpack.unpack(all[at + 1])[ARGV[1]] then found[#found + 1] = all[at] end
end
return found
""")
"""Replies with the users of a room for which a pod has an entry."""

CONNECTIONS: Final = script("""
-- KEYS connections of a user; ARGV pod
local all, found = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #all, 2 do
  if string.match(all[at + 1], ':(.*)$') == ARGV[1] then found[#found + 1] = all[at] end
end
return found
""")
"""Replies with the connections of a user on a pod."""

REMOVE_MEMBERS: Final = script(f"""{TELL}
-- KEYS members, users, rooms owned by the pod, and perhaps events, facts
-- ARGV pod, room, and perhaps an event, most events, most bytes, receiver
local members, users, pod = KEYS[1], KEYS[2], ARGV[1]
local all, gone, change = redis.call('HGETALL', members), {{}}, 0
for at = 1, #all, 2 do
  if all[at] ~= '' then
    local pods = cmsgpack.unpack(all[at + 1])
    if pods[pod] then
      change = change - pods[pod][1]
      pods[pod] = nil
      redis.call('HDEL', members, all[at])
      if next(pods) then
        redis.call('HSET', members, all[at], cmsgpack.pack(pods))
      else
        redis.call('ZREM', users, all[at])
        gone[#gone + 1] = all[at]
      end
    end
  end
end
if redis.call('ZCARD', users) == 0 then
  redis.call('DEL', members)
elseif change ~= 0 then
  redis.call('HINCRBY', members, '', change)
end
redis.call('SREM', KEYS[3], ARGV[2])
if ARGV[3] and #gone > 0 and redis.call('ZCARD', users) == 0 then
  tell(KEYS[4], KEYS[5], ARGV[3], ARGV[4], ARGV[5], ARGV[6], '')
end
return gone
""")
"""Removes the entries of a pod from a room. Replies with the users who are on no other pod.

Adds the event if the room has become vacated.
"""

CLAIM: Final = script("""
-- KEYS connections of the user, users owned by the pod; ARGV pod, user, connection, limit, 1 to replace
local mine, limit = KEYS[1], tonumber(ARGV[4])
local yielding = {}
if limit > 0 and redis.call('HEXISTS', mine, ARGV[3]) == 0 then
  local all = redis.call('HGETALL', mine)
  local surplus = #all / 2 - limit + 1
  if surplus > 0 and ARGV[5] == '0' then return {0} end
  local oldest = {}
  for at = 1, #all, 2 do
    oldest[#oldest + 1] = {all[at], tonumber(string.match(all[at + 1], '^%d+'))}
  end
  table.sort(oldest, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)
  for at = 1, surplus do
    yielding[at] = oldest[at][1]
    redis.call('HDEL', mine, oldest[at][1])
  end
end
local now = redis.call('TIME')
redis.call('HSET', mine, ARGV[3], string.format('%d%06d', now[1], now[2]) .. ':' .. ARGV[1])
redis.call('SADD', KEYS[2], ARGV[2])
return {1, unpack(yielding)}
""")
"""Counts one more connection of a user. Replies with 0 if that is too many, else with 1 and the connections to end."""

RELEASE: Final = script("""
-- KEYS connections of the user, users owned by the pod; ARGV user, connection
redis.call('HDEL', KEYS[1], ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
return 1
""")
"""Stops counting a connection of a user."""

RELEASE_ALL: Final = script("""
-- KEYS connections of the user, users owned by the pod; ARGV pod, user
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  if string.match(all[at + 1], ':(.*)$') == ARGV[1] then redis.call('HDEL', KEYS[1], all[at]) end
end
return redis.call('SREM', KEYS[2], ARGV[2])
""")
"""Stops counting the connections of a user on a pod."""

REVOCATIONS_WHEN_FULL: Final = 1000
"""With fewer revocations than this, a full Redis takes another one: a token must be revocable at any time."""

REVOKE: Final = script(f"""
-- KEYS revocations, the same by their end; ARGV revocation, its end, now
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[3])
for _, revocation in ipairs(over) do
  redis.call('ZREM', KEYS[1], revocation)
  redis.call('ZREM', KEYS[2], revocation)
end
-- A removal of nothing. After it, a full Redis takes what follows.
if redis.call('ZCARD', KEYS[1]) < {REVOCATIONS_WHEN_FULL} then redis.call('ZREM', KEYS[1], '') end
local time, last = redis.call('TIME'), redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local number = tonumber(time[1]) * 1000000 + tonumber(time[2])
if last[2] and tonumber(last[2]) >= number then number = tonumber(last[2]) + 1 end
redis.call('ZADD', KEYS[1], string.format('%.0f', number), ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return 1
""")
"""Adds a revocation after all others. Its number comes from the time, so numbers rise even if the last one was lost."""

REGISTRY_SCRIPTS: Final = (
    PUT,
    DISOWN,
    PAGE,
    OWNED,
    MEMBERS,
    CONNECTIONS,
    REMOVE_MEMBERS,
    CLAIM,
    RELEASE,
    RELEASE_ALL,
    HEARTBEAT,
    PODS,
    RETIRE,
    REVOKE,
    KEEP_TICKET,
    USE_TICKET,
)
