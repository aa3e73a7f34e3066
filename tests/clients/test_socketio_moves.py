"""Stock Socket.IO clients when their pod drains or dies: back on another one, with nothing lost or repeated."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import socketio

from tests.support.gateway import PATIENCE, Client, token
from tests.support.local_redis import QUICK, RedisServer
from tests.support.process import Process, serving
from tests.support.stock_clients import StockClients, stock_clients
from tests.support.stopwatch import stopwatch
from tests.support.switchboard import Switchboard, switchboard

pytestmark = pytest.mark.timeout(120)

RULES = '[[rooms]]\npattern = "kept.*"\nhistory = { size = 1000, ttl = 60 }\n'
WINDOW = 1.5
"""Seconds over which a drain closes clients."""
BACK = 3.0
"""Seconds after its slot within which a client is back."""


class Fleet:
    """Pods on one Redis, behind one address."""

    def __init__(self, stack: AsyncExitStack, board: Switchboard, environ: dict[str, str]) -> None:
        self._stack = stack
        self._environ = environ
        self.board = board

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.board.port}"

    async def pod(self) -> Process:
        """One more pod, which gets the new connections."""
        served = await self._stack.enter_async_context(serving(**self._environ))
        self.board.target = served.port
        return served


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Pods with the door open, none yet."""
    rules = tmp_path / "rooms.toml"
    rules.write_text(RULES)
    redis = RedisServer(tmp_path / "redis", *QUICK)
    redis.start()
    environ = {
        "FORESTAY_BUS_URL": redis.url,
        "FORESTAY_SOCKETIO": "true",
        "FORESTAY_ROOMS_FILE": str(rules),
        "FORESTAY_DEFAULT_RIGHTS": "**:rwph",
        "FORESTAY_DRAIN_WINDOW": str(WINDOW),
        "FORESTAY_DRAIN_LEAD": "0.5",
    }
    try:
        async with AsyncExitStack() as stack:
            board = await stack.enter_async_context(switchboard())
            yield Fleet(stack, board, environ)
    finally:
        redis.kill()


@pytest_asyncio.fixture
async def clients(js: Path) -> AsyncIterator[StockClients]:
    """Stock clients."""
    async with stock_clients(js) as running:
        yield running


class Talker:
    """A native client that says a number again and again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.said = 0

    async def talk(self) -> None:
        """Talk until cancelled."""
        while True:
            self.said += 1
            await self._client.say({"type": "broadcast", "room": "kept.a", "payload": self.said})
            await asyncio.sleep(0.02)


async def test_stock_clients_move_from_pod_to_pod(fleet: Fleet, clients: StockClients) -> None:
    """A drain closes each client in its slot, and a crash all of them. All come back by themselves and recovered."""
    first = await fleet.pod()
    found = [
        clients.open(fleet.url, token(f"user-{number}"), transports=transports)
        for number, transports in enumerate([["websocket"]] * 4 + [None, ["polling"]])
    ]
    for client in found:
        await client.next("connect")
        assert (await client.ask("join-room", "kept.a"))["ok"]
    second = await fleet.pod()
    talker = Talker(await second.pod.connect("tina"))
    talking = asyncio.create_task(talker.talk())

    # A drain.
    await asyncio.sleep(0.3)
    with stopwatch() as watch:
        first.process.send_signal(signal.SIGTERM)
        for client in found:
            told = await client.next("disconnect")
            assert (told["reason"] != "io server disconnect", told["active"]) == (True, True)
            assert (await client.next("connect"))["recovered"], client.told
        assert watch.seconds < WINDOW + BACK
    assert await first.end() == 0

    # A crash. The talker is on the third pod.
    third = await fleet.pod()
    talking.cancel()
    last = Talker(await third.pod.connect("tina"))
    last.said = talker.said
    talking = asyncio.create_task(last.talk())
    await asyncio.sleep(0.3)
    await second.end(signal.SIGKILL)
    for client in found:
        assert (await client.next("connect"))["recovered"], client.told
    await asyncio.sleep(0.3)
    talking.cancel()

    for client in found:
        payloads: list[int] = []
        while not payloads or payloads[-1] < last.said:
            payloads.append((await client.event("message"))["payload"])
        assert payloads == list(range(1, last.said + 1)), client.name


async def test_a_stock_python_client(fleet: Fleet) -> None:
    """It enters, asks and is answered, sends and gets bytes, hears why it may not enter, and comes back in a drain."""
    first = await fleet.pod()
    client, events = socketio.AsyncClient(reconnection_delay=0.1, reconnection_delay_max=0.3), asyncio.Queue[Any]()
    reasons: list[object] = []
    connected = asyncio.Event()
    client.on("message", events.put)
    client.on("connect_error", reasons.append)
    client.on("disconnect", reasons.append)
    client.on("connect", connected.set)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(fleet.url, auth={"token": "bad"})
    assert [one["data"]["code"] for one in reasons if isinstance(one, dict)] == ["bad_token"]
    await client.connect(fleet.url, auth={"token": token("paula")}, transports=["websocket"])
    try:
        assert (await client.call("join-room", "kept.a"))["ok"]
        assert (await client.call("message", {"room": "kept.a", "payload": {"b": b"\x00\xff"}}))["offset"] == 1
        assert (await events.get())["payload"] == {"b": b"\x00\xff"}
        assert (await client.call("message", {"room": "kept.a", "payload": b"\x01", "type": 4}))["ok"]
        told = await events.get()
        assert (told["payload"], told["type"]) == (b"\x01", 4)
        assert (await client.call("shout", 1))["code"] == "unknown_type"
        await fleet.pod()
        connected.clear()
        first.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await connected.wait()
        assert "io server disconnect" not in reasons
        assert (await client.call("join-room", "kept.a"))["ok"]
    finally:
        await client.disconnect()
