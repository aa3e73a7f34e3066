"""An attempt to connect can be cancelled at any moment."""

import asyncio

import pytest
from redis.asyncio import Connection
from redis.exceptions import AuthenticationError

from forestay.bus.redis.client.address import parse_address
from forestay.bus.redis.client.connection import open_client


@pytest.mark.parametrize("outcome", [None, AuthenticationError("wrong password")], ids=["connected", "refused"])
async def test_a_cancellation_that_the_library_swallows_is_raised(
    outcome: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt ends with CancelledError, although redis-py on Python 3.11 swallows one that comes while it sends."""
    connecting = asyncio.Event()

    async def connect(self: Connection) -> None:
        connecting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if outcome is not None:
                raise outcome from None

    monkeypatch.setattr(Connection, "connect", connect)
    address = parse_address("redis://127.0.0.1:1")
    task = asyncio.create_task(open_client(address, address.hosts[0], 30))
    await connecting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
