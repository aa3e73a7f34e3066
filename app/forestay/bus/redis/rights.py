"""Tries each command that a pod sends to Redis, to find those that its user may not run.

Each is really run, since a server tells no user what it may do. One script runs those that touch keys, on keys of its
own that it deletes again, so that nobody ever sees them.
"""

from collections.abc import Sequence
from typing import Final

from forestay.bus.redis.client.address import Address
from forestay.bus.redis.client.command import ErrorReply
from forestay.bus.redis.client.connection import Argument, RespClient
from forestay.bus.redis.script import script

# KEYS hash, set, sorted set, stream; ARGV channel, 1 where the server has channels for slots
# Returns the commands that failed, each with the error behind it.
_TRIAL: Final = script("""
local hash, set, sorted, stream = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local failed = {}
local function try(name, ...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then failed[#failed + 1] = name .. ' ' .. reply.err end
  return reply
end
local function run(command, ...) return try(string.lower(command), command, ...) end
-- What cannot be deleted must not be written.
run('DEL', hash, set, sorted, stream)
if #failed > 0 then return failed end
run('TIME')
run('EXISTS', hash)
run('HSET', hash, 'a', 1)
run('HGET', hash, 'a')
run('HMGET', hash, 'a', 'b')
run('HGETALL', hash)
run('HEXISTS', hash, 'a')
run('HINCRBY', hash, 'a', 1)
run('PEXPIRE', hash, 60000)
run('EXPIRE', hash, 60)
run('PTTL', hash)
run('HDEL', hash, 'a')
run('SADD', set, 'a')
run('SMEMBERS', set)
run('SREM', set, 'a')
run('ZADD', sorted, 1, 'a')
run('ZCARD', sorted)
run('ZSCORE', sorted, 'a')
run('ZREVRANGE', sorted, 0, -1)
run('ZRANGEBYLEX', sorted, '-', '+')
run('ZRANGEBYSCORE', sorted, '-inf', '+inf')
run('ZREM', sorted, 'a')
-- A group needs a stream, and the other commands a group: they are tried on one that is there.
local grouped = try('xgroup|create', 'XGROUP', 'CREATE', stream, 'pods', '0', 'MKSTREAM')
local id = run('XADD', stream, '*', 'a', '1')
if type(id) ~= 'string' then id = '1-0' end
run('XRANGE', stream, '-', '+')
run('XREVRANGE', stream, '+', '-')
run('XLEN', stream)
run('XACK', stream, 'pods', id)
if not grouped.err then
  run('XREADGROUP', 'GROUP', 'pods', 'one', 'COUNT', 1, 'STREAMS', stream, '>')
  run('XCLAIM', stream, 'pods', 'one', 0, id)
  run('XAUTOCLAIM', stream, 'pods', 'one', 0, '0-0')
  try('xinfo|consumers', 'XINFO', 'CONSUMERS', stream, 'pods')
  try('xgroup|delconsumer', 'XGROUP', 'DELCONSUMER', stream, 'pods', 'one')
end
run('XDEL', stream, id)
run('PUBLISH', ARGV[1], '')
if ARGV[2] == '1' then run('SPUBLISH', ARGV[1], '') end
redis.call('DEL', hash, set, sorted, stream)
return failed
""")

# The first version of Redis that has channels for the slots of a Cluster.
_SHARDED: Final = (7,)

# The words with which servers refuse a command, a key and a channel to a user. Before 7.0 a script's error has no kind.
_REFUSED: Final = ("noperm", "can't run this command", "no permissions", "can't access", "can't publish")


async def missing_rights(
    client: RespClient, address: Address, version: tuple[int, ...], place: str
) -> tuple[Sequence[str], Sequence[str]]:
    """The rules that the user lacks, as ACL SETUSER takes them, and what else went wrong with a command, as sentences.

    `place`: the beginning of the names of the keys and the channel that are used. Raises Unreachable. Afterwards the
    connection is of no use, since its last commands are those that subscribe.
    """
    sharded = version >= _SHARDED
    keys = [f"{place}:{kind}" for kind in ("hash", "set", "sorted", "stream")]
    commands: list[tuple[str, Sequence[Argument]]] = [
        ("ping", ("PING",)),
        ("script|load", ("SCRIPT", "LOAD", _TRIAL.text)),
        ("evalsha", ("EVALSHA", _TRIAL.digest, len(keys), *keys, place, int(sharded))),
    ]
    if address.cluster:
        commands += [("cluster|slots", ("CLUSTER", "SLOTS")), ("asking", ("ASKING",))]
    else:
        commands.append(("select", ("SELECT", address.database)))
    commands += [("subscribe", ("SUBSCRIBE", place)), ("unsubscribe", ("UNSUBSCRIBE", place))]
    if sharded:
        commands += [("ssubscribe", ("SSUBSCRIBE", place)), ("sunsubscribe", ("SUNSUBSCRIBE", place))]
    failed: list[str] = []
    for name, command in commands:
        try:
            answer = await client.ask(*command)
        except ErrorReply as error:
            failed.append(f"{name} {error}")
        else:
            if name == "evalsha" and isinstance(answer, list):
                failed += [line.decode("utf-8", "replace") for line in answer if isinstance(line, bytes)]
    return _sorted_out(failed, address.prefix)


def _sorted_out(failed: Sequence[str], prefix: str) -> tuple[Sequence[str], Sequence[str]]:
    """The rules behind what was refused to the user, and the other failures. Each line is a name and an error."""
    missing: list[str] = []
    others: list[str] = []
    for line in failed:
        name, _, why = line.partition(" ")
        if not any(words in why.lower() for words in _REFUSED):
            others.append(f"{name}: {why}")
        elif "channel" in why:
            missing.append(f"&{prefix}:*")
        elif " key" in why:
            missing.append(f"~{prefix}:*")
        else:
            missing.append(f"+{name}")
    return list(dict.fromkeys(missing)), others
