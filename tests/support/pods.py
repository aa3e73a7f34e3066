"""Several pods on one Redis, which know each other."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.support.gateway import Gateway, gateway
from tests.support.local_redis import RedisServer

NewPod = Callable[..., Awaitable[Gateway]]


@asynccontextmanager
async def pods(redis: RedisServer, folder: Path, rooms: str) -> AsyncIterator[NewPod]:
    """Yields a function that makes pods of one gateway, with the policies in `rooms`. It takes what `gateway` takes."""
    file = folder / "rooms.toml"
    file.write_text(rooms)
    url = f"{redis.url}?prefix=t{secrets.token_hex(6)}"
    async with AsyncExitStack() as stack:

        async def make(settling: float = 0.0, /, **given: object) -> Gateway:
            values = {"bus_url": url, "rooms_file": str(file), "presence_grace": 0} | given
            pod: Gateway = await stack.enter_async_context(gateway(None, settling, **values))
            return pod

        yield make
