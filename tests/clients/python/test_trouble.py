"""The stream of a room stays whole while connections lag, break, close and move in any order."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from forestay_client import Client, Message, Room, UnknownOutcomeError
from tests.support.gateway import PATIENCE, gateway, token

SPOKEN = [Subprotocol("forestay.v1")]
ROOMS = """
[[rooms]]
pattern = "log.*"
[rooms.history]
size = 5000
ttl = 60
"""


class Relay:
    """Forwards messages between client and gateway with delay, and causes faults on demand."""

    def __init__(self, gateway: str, rng: random.Random) -> None:
        self._gateway = gateway
        self._rng = rng
        self._work: set[asyncio.Task[None]] = set()
        self.connections: list[ServerConnection] = []
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with serve(self._pass_on, "127.0.0.1", 0, subprotocols=SPOKEN, close_timeout=0.2) as server:
            self.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"
            yield
        for task in self._work:
            task.cancel()

    async def trouble(self) -> None:
        """Causes a fault on the newest connections."""
        newest, choice = self.connections[-1], self._rng.random()
        if choice < 0.55:
            after = self._rng.randrange(100)
            within = after + self._rng.choice([20, 100, 300, 1500])
            notice = {"reason": "draining", "after_ms": after, "within_ms": within}
            try:
                await newest.send(json.dumps({"type": "reconnect", "payload": notice}))
            except ConnectionClosed:
                return
            self._start(_close(newest, 1001, within / 1000))
        elif choice < 0.9:
            for one in self.connections[-1 if choice < 0.8 else -2 :]:
                one.transport.abort()
        else:
            self._start(_close(newest, self._rng.choice([1011, 1012, 4408]), 0))

    async def _pass_on(self, client: ServerConnection) -> None:
        await _while_open(self._both_ways(client))

    async def _both_ways(self, client: ServerConnection) -> None:
        assert client.request is not None
        headers = {"Authorization": client.request.headers["Authorization"]}
        lag, loop = self._rng.random() * 0.2, asyncio.get_running_loop()
        late = asyncio.Queue[tuple[float, str | bytes]]()
        async with connect(self._gateway, additional_headers=headers, subprotocols=SPOKEN) as there:
            self.connections.append(client)
            self._start(_deliver(late, client))

            async def downwards() -> None:
                async for message in there:
                    late.put_nowait((loop.time() + lag, message))

            self._start(downwards())
            async for message in client:
                await there.send(message)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._work.add(asyncio.ensure_future(_while_open(work)))


async def _while_open(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except ConnectionClosed:
        pass


async def _deliver(late: asyncio.Queue[tuple[float, str | bytes]], client: ServerConnection) -> None:
    while True:
        due, message = await late.get()
        await asyncio.sleep(due - asyncio.get_running_loop().time())
        await client.send(message)


async def _close(one: ServerConnection, code: int, after: float) -> None:
    await asyncio.sleep(after)
    await one.close(code)


@pytest.mark.parametrize("seed", range(3))
async def test_every_message_comes_once_and_in_order(seed: int, tmp_path: Path) -> None:
    """Every message comes once and in order, and a keyed publish is there once after any retries."""
    rng = random.Random(seed)
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    async with gateway(rooms_file=str(rooms), message_rate=0) as pod:
        relay = Relay(pod.url, rng)
        async with (
            relay.listening(),
            Client(relay.url, get_token=lambda: token("alice"), max_delay=0.1) as alice,
            Client(pod.url, get_token=lambda: token("bob")) as bob,
        ):
            room, heard, losses = alice.room("log.a"), list[Message](), list[object]()
            room.on("message", heard.append)
            room.on("resync", losses.append)
            room.on("joined", lambda joined: losses.append(joined) if joined.recovered is False else None)
            await room.join()
            talking = [asyncio.ensure_future(_talk(bob.room("log.a"))), asyncio.ensure_future(_talk(room))]
            for _ in range(12):
                await asyncio.sleep(rng.random() * 0.5)
                await relay.trouble()
            for task in talking:
                task.cancel()
            await asyncio.wait(talking)
            last = await bob.room("log.a").publish("the end")
            assert last is not None
            async with asyncio.timeout(PATIENCE):
                while not heard or heard[-1].position != last:
                    await asyncio.sleep(0.01)
    assert [one.position.offset for one in heard if one.position] == list(range(1, last.offset + 1))
    assert losses == []
    assert len({str(one.payload) for one in heard}) == len(heard)


async def _talk(room: Room) -> None:
    """Publishes, and repeats the message with its key while the outcome is unknown."""
    for number in range(10_000):
        payload, key = [id(room), number], None
        while True:
            try:
                await room.publish(payload, key=key)
            except UnknownOutcomeError as unknown:
                key = unknown.key
            else:
                break
        await asyncio.sleep(0.01)
