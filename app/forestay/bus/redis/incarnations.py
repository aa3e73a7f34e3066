"""Says in the scripts whether this Redis may have lost writes: what an incarnation is, and from which one it descends.

An *incarnation* is a `master_replid`. It is new after each restart and each promotion, where writes may be lost. It is
also new where none is: when a master gets its first replica, and when its last one is away for `repl-backlog-ttl`. So
the seed keeps the facts of the last incarnation that was seen, and its *origin*: the first one from which no write was
lost on the way to this one. That is proved where all of these hold:

- The process is the same, by `run_id`.
- There is no former id, `master_replid2`. A promotion leaves one.
- The process has taken nothing from a master meanwhile, by `total_net_repl_input_bytes`. The two facts before cannot
  prove this: a master may become a replica, lose its data for that of another, be promoted again, and forget the former
  id once it is alone for `repl-backlog-ttl`.
- A script saw the last incarnation at most 30 seconds ago. So there was no time to forget a promotion unseen, unless
  `repl-backlog-ttl` is shorter.

In all other cases an incarnation is its own origin: with a server that does not show what it took, as Redis 6.2, too.
So it is where a slot of a Cluster moves: the process is another, and its facts say nothing about what the former lost.
The seed also has when a script first saw the origin, as `changed`: pods may be lost from then on, until they register
again.
`tests/servers/incarnations.py` plays each case to each server.
"""

from typing import Final

SEED_TTL: Final = 7 * 86_400
"""Seconds for which the seed of the first epoch stays without pods. `scripts.py` says what it is for."""

_RECENT: Final = 30
"""Seconds. Each pod has the seed looked at with every heartbeat, and on a Cluster with every check of the positions."""

# Seconds after which what was seen is written again: a look every few seconds need not be a write.
_SEEN_AGAIN: Final = 4

INCARNATION: Final = f"""
local function fact(section, name)
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and string.match(info, name .. ':(%w+)') or nil
end
local function incarnation(otherwise) return fact('replication', 'master_replid') or otherwise end
-- The origin of the incarnation `run`. Also right where a full Redis cannot store it.
local function origin_of(seed, run)
  local known = redis.call('HMGET', seed, 'run', 'origin', 'process', 'taken', 'seen')
  local before, origin, now = known[1], known[2], tonumber(redis.call('TIME')[1])
  local age = known[5] and now - tonumber(known[5])
  if before == run and age >= 0 and age < {_SEEN_AGAIN} then return origin end
  local process, taken = fact('server', 'run_id') or '', fact('stats', 'total_net_repl_input_bytes') or ''
  if before ~= run then
    local steady = before and taken ~= '' and known[3] == process and known[4] == taken
    local proved = steady and age >= 0 and age <= {_RECENT}
      and string.match(fact('replication', 'master_replid2') or '', '^0+$')
    if not proved then origin = run end
  end
  local facts = {{'run', run, 'origin', origin, 'process', process, 'taken', taken, 'seen', now}}
  if origin ~= known[2] then facts[#facts + 1], facts[#facts + 2] = 'changed', now end
  local stored = redis.pcall('HSET', seed, unpack(facts))
  if type(stored) == 'number' and not before then redis.call('EXPIRE', seed, {SEED_TTL}) end
  return origin
end
"""
"""Functions for the scripts that give positions, and for the heartbeats."""
