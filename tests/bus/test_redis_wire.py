"""A connection in the making can be given up at any moment."""

import asyncio

import pytest
from redis.asyncio import Connection
from redis.exceptions import AuthenticationError

from forestay.bus.redis.client.address import parse_address
from forestay.bus.redis.client.connection import open_wire


@pytest.mark.parametrize("outcome", [None, AuthenticationError("wrong password")], ids=["connected", "refused"])
async def test_a_cancellation_that_the_library_swallows_is_heeded(
    outcome: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the library does with Python 3.11 when it is cancelled in the moment in which it has sent something."""
    trying = asyncio.Event()

    async def connect(self: Connection) -> None:
        trying.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if outcome is not None:
                raise outcome from None

    monkeypatch.setattr(Connection, "connect", connect)
    address = parse_address("redis://127.0.0.1:1")
    task = asyncio.create_task(open_wire(address, address.places[0], 30))
    await trying.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
