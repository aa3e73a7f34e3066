"""Two pods in this process, and a proxy in front of them."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.meet.proxies import Kind, Ports, Running, place_of
from tests.support.gateway import PATIENCE, Client, Gateway, Pod, close_clients, gateway, token
from tests.support.local_redis import free_port

_QUIET: Final = {
    "ping_interval": 3600,
    "pong_timeout": 3600,
    "drain_window": 0,
    "close_timeout": 0.5,
    "flush_timeout": 0,
}
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Stage:
    """What a check plays on."""

    proxy: Running
    pods: tuple[Gateway, Gateway]
    way: Pod
    """The pods as clients reach them: through the proxy."""

    async def connect(self, number: int = 1) -> list[Client]:
        """So many clients that have read their welcome, one after the other."""
        return [await self.way.connect("alice") for _ in range(number)]

    def connections(self) -> tuple[int, int]:
        """How many connections each pod has."""
        first, second = (len(pod.running._pod.hub) for pod in self.pods)
        return first, second

    async def until(self, *connections: int) -> None:
        """Wait until the pods have so many connections."""
        async with asyncio.timeout(PATIENCE):
            while self.connections() != connections:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def stage(
    kind: Kind, *, idle: float | None = None, http2: bool = False, **settings: object
) -> AsyncIterator[Stage]:
    """`idle`: seconds of the proxy's idle timeouts, in place of those of the docs. `settings`: of the pods."""
    given = _QUIET | settings
    async with gateway(**given) as one, gateway(**given) as two:
        proxy = Running(kind, Ports(free_port(), (one.port, two.port), free_port()), place_of(kind, next(_NUMBERS)))
        try:
            await proxy.start(idle, http2=http2)
            yield Stage(proxy, (one, two), Pod(proxy.ports.proxy, 0))
        finally:
            await close_clients()
            await proxy.stop()


def bearer() -> str:
    """A good token."""
    return token("alice")


async def ask(port: int, request: bytes) -> Client:
    """A client that has read the answer to a handshake. A proxy leaves the connection open after a refusal."""
    client = await Client.open_connection(port, request)
    head = (await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode("latin-1")
    status, *lines = head.split("\r\n")
    client.status = int(status.split()[1])
    client.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if client.status != 101:
        async with asyncio.timeout(PATIENCE):
            if "content-length" in client.headers:
                client.body = await client.reader.readexactly(int(client.headers["content-length"]))
            elif client.headers.get("transfer-encoding") == "chunked":
                client.body = await _chunks(client.reader)
        await client.close()
    return client


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).strip(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body
