"""An application on the Python client does not notice a deploy."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from forestay_client import Client, Moved, Position
from tests.support.gateway import PATIENCE, gateway, token
from tests.support.local_redis import RedisServer
from tests.support.pumping import pump

ROOMS = """
[[rooms]]
pattern = "log.*"
[rooms.history]
size = 1000
ttl = 60
"""


class Balancer:
    """One address for all pods. New connections go to the pod that is ready."""

    def __init__(self) -> None:
        self.pod = 0
        self.port = 0

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onwards = await asyncio.open_connection("127.0.0.1", self.pod)
        await asyncio.gather(pump(reader, onwards), pump(there, writer))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self.forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()


async def test_a_drain_loses_and_repeats_nothing(redis: RedisServer, tmp_path: Path) -> None:
    """While pods are replaced each message comes once and in order, and the state stays `connected`."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    shared = {
        "bus_url": f"{redis.url}?prefix=t{secrets.token_hex(6)}",
        "rooms_file": str(rooms),
        "drain_window": 1.0,
        "drain_lead": 0.5,
    }
    balancer, heard, moved, changes = Balancer(), list[tuple[object, Position | None]](), list[Moved](), list[object]()
    plain = list[object]()
    async with gateway(**shared) as first, gateway(**shared) as second, gateway(**shared) as third:
        balancer.pod = first.port
        async with balancer.listening():
            url = f"ws://127.0.0.1:{balancer.port}/ws"
            async with Client(url, get_token=lambda: token("alice")) as alice:
                room = alice.room("log.a")
                room.on("message", lambda message: heard.append((message.payload, message.position)))
                await room.join()
                alice.room("plain").on("message", lambda message: plain.append(message.payload))
                await alice.room("plain").join()
                for watched in (alice.on, room.on):
                    watched("state", changes.append)
                alice.on("moved", moved.append)
                positions = list[Position | None]()

                async def speak() -> None:
                    while len(moved) < 2 or len(positions) % 20:
                        positions.append(await room.publish(len(positions)))
                        await alice.room("plain").publish(len(positions) - 1)
                        await asyncio.sleep(0.01)

                publishing = asyncio.ensure_future(speak())
                for old, new in ((first, second), (second, third)):
                    balancer.pod = new.port
                    await old.running.stop(asyncio.Event(), paced=True)
                await asyncio.wait_for(publishing, PATIENCE)
                async with asyncio.timeout(PATIENCE):
                    while len(heard) < len(positions) or len(plain) < len(positions):
                        await asyncio.sleep(0.01)
                assert changes == []
    assert heard == list(enumerate(positions))
    assert sorted(plain, key=str) == sorted(range(len(positions)), key=str)
    assert moved == [Moved(("plain",)), Moved(("plain",))]
