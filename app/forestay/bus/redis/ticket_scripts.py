"""The scripts of the registry that keep and use tickets."""

from typing import Final

from forestay.bus.redis.script import script

KEEP_TICKET: Final = script("""
-- KEYS ticket; ARGV what it stands for, milliseconds, milliseconds for which a stream keeps it
redis.call('HSET', KEYS[1], 'held', ARGV[1], 'longest', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
""")
"""Keeps a ticket."""

USE_TICKET: Final = script("""
-- KEYS ticket; ARGV use, secret
local held, longest, secret = unpack(redis.call('HMGET', KEYS[1], 'held', 'longest', 'secret'))
if not held then return false end
if ARGV[1] == 'resume' then return secret and secret == ARGV[2] and held end
if secret then return false end
if ARGV[1] == 'connect' then
  redis.call('DEL', KEYS[1])
elseif ARGV[1] == 'stream' then
  redis.call('HSET', KEYS[1], 'secret', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], longest)
end
return held
""")
"""Uses a ticket, as TicketUse says. Replies with what it stands for, or nothing."""
