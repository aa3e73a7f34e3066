"""Runs a script of the registry, and turns what Redis replies into a value or an exception."""

import asyncio
from collections.abc import Sequence
from typing import Final

from forestay.bus.redis.bus import RedisBus
from forestay.bus.redis.client.command import ErrorReply, Failure
from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.script import Script
from forestay.core.ports.bus import AnswerLost, BusFull, BusLost

UNEXPECTED: Final = "the script sent an unexpected reply"
"""Why the bus counts as lost where a reply has another form than its script makes."""


def evalsha(script: Script, keys: Sequence[bytes], *arguments: bytes | str | int) -> bytes:
    """The command that runs `script`."""
    return pack(b"EVALSHA", script.digest, len(keys), *keys, *arguments)


async def write(bus: RedisBus, partition: int, data: bytes) -> object:
    """The reply to a write. Raises BusLost."""
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def settle(reply: object) -> None:
        if not answer.done():
            answer.set_result(reply)

    bus.write(partition, data, settle)
    reply = await answer
    if reply is Failure.UNKNOWN:
        raise AnswerLost("Redis did not reply to the command")
    if isinstance(reply, ErrorReply) and reply.full:
        raise BusFull("Redis has reached its maxmemory")
    if isinstance(reply, ErrorReply | Failure):
        raise BusLost("Redis did not execute the command")
    return reply
