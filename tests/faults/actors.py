"""The actors of a fault: pods on one Redis, each behind a proxy of its own; speakers; and recording members.

The pods are real servers on loopback in the test's loop. The members are real connections that reconnect.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.faults.checker import Heard, Place, Published, Verdict, judge
from tests.support.gateway import Client, Closed, Gateway, close_clients, gateway
from tests.support.local_redis import RedisServer, Road

ROOMS = """
[[rooms]]
pattern = "log.*"
[rooms.history]
size = 1000
ttl = 600

[[rooms]]
pattern = "brief.*"
[rooms.history]
size = 10
ttl = 1

[[rooms]]
pattern = "people.*"
presence = true

[[rooms]]
pattern = "crowd.*"
join_leave = true
"""
KEPT = "log.a"
LIVE = "chat.a"
PRESENT = "people.a"
CROWD = "crowd.a"
BRIEF = "brief.a"
PATIENCE = 30.0
"""Seconds after which a test fails."""


class Member:
    """A client in one room that reconnects with its position after a cut, and records everything."""

    def __init__(self, who: str, pods: "list[Gateway]", at: int, room: str) -> None:
        self.who = who
        self.room = room
        self.heard = Heard(who)
        self.connections = 0
        self._pods = pods
        self._at = at
        self._place: Place | None = None
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        joined = asyncio.Event()
        self._task = asyncio.create_task(self._live(joined))
        async with asyncio.timeout(PATIENCE):
            await joined.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._client is not None:
            await self._client.close()

    async def has_heard(self, what: object) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(kind == "broadcast" and message == what for kind, _, message in self.heard.events[-300:]):
                await asyncio.sleep(0.02)

    async def has_heard_behind(self, mark: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while not any(
                kind == "broadcast" and isinstance(message, int) and message > mark
                for kind, _, message in self.heard.events[-9:]
            ):
                await asyncio.sleep(0.02)

    async def _live(self, joined: asyncio.Event) -> None:
        while True:
            try:
                await self._stay(joined)
            except (Closed, ConnectionError, AssertionError):
                self.heard.events.append(("lost", None, None))
                self._at += 1
                await asyncio.sleep(0.1)

    async def _stay(self, joined: asyncio.Event) -> None:
        client = self._client = await self._pods[self._at % len(self._pods)].connect(self.who)
        self.connections += 1
        since = {} if self._place is None else {"since": {"epoch": self._place[0], "offset": self._place[1]}}
        while True:
            answer = await client.ask({"type": "join", "room": self.room, **since})
            if answer["type"] == "joined":
                break
            await asyncio.sleep(0.2)
        self._record("joined", answer["payload"], answer["payload"].get("recovered"))
        joined.set()
        while True:
            message = await hear_for_long(client)
            if message["type"] == "broadcast":
                self._record("broadcast", message, message["payload"])
            elif message["type"] == "resync":
                self._record("resync", message["payload"], message["payload"]["reason"])

    def _record(self, kind: str, at: dict[str, Any], what: object) -> None:
        place = (at["epoch"], at["offset"]) if "epoch" in at else None
        self.heard.events.append((kind, place, what))
        if kind != "joined" or what is not True:
            self._place = place


async def hear_for_long(client: Client) -> dict[str, Any]:
    """The next message, without a time limit."""
    while True:
        try:
            return await client.hear()
        except TimeoutError:
            continue


class Speaker:
    """A client that publishes numbers in one room and records the outcome of each."""

    def __init__(self, client: Client, room: str, rate: float) -> None:
        self.published = Published()
        self.number = 0
        self._client = client
        self._room = room
        self._pause = 1 / rate
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._speak()), asyncio.create_task(self._listen())]

    async def stop(self) -> None:
        """Stops publishing, and waits until every outcome is known."""
        if self._tasks:
            self._tasks[0].cancel()
            async with asyncio.timeout(PATIENCE):
                while len(self.published.acknowledged) + len(self.published.refused) < self.number:
                    await asyncio.sleep(0.02)
            self._tasks[1].cancel()

    async def accepted(self, more: int = 1) -> int:
        """Waits until that many more messages were accepted. Returns the number of the last one."""
        until = len(self.published.acknowledged) + more
        async with asyncio.timeout(PATIENCE):
            while len(self.published.acknowledged) < until:
                await asyncio.sleep(0.01)
        return max(self.published.acknowledged)

    async def _speak(self) -> None:
        while True:
            self.number += 1
            await self._client.say(
                {"type": "broadcast", "room": self._room, "payload": self.number, "id": str(self.number)}
            )
            await asyncio.sleep(self._pause)

    async def _listen(self) -> None:
        while True:
            answer = await hear_for_long(self._client)
            number = int(answer.get("id", 0))
            if answer["type"] == "ack":
                at = answer["payload"]
                self.published.acknowledged[number] = (at["epoch"], at["offset"]) if at else None
            elif answer["type"] == "error" and number:
                self.published.refused[number] = answer["payload"]["code"]


class Actors:
    """All actors of a test."""

    def __init__(self, redis: RedisServer, prefix: str) -> None:
        self.redis = redis
        self.prefix = prefix
        self.roads: list[Road] = []
        self.pods: list[Gateway] = []
        self.members: list[Member] = []
        self.speakers: list[Speaker] = []

    async def member(self, number: int = 1, room: str = KEPT) -> list[Member]:
        made = [Member(f"m{len(self.members) + n}", self.pods, len(self.members) + n, room) for n in range(number)]
        self.members += made
        await asyncio.gather(*(one.start() for one in made))
        return made

    async def speaker(self, pod: int = 0, room: str = KEPT, rate: float = 100) -> Speaker:
        speaker = Speaker(await self.pods[pod].connect("speaker"), room, rate)
        self.speakers.append(speaker)
        speaker.start()
        return speaker

    async def end(self) -> Verdict:
        """Publishes a last message, waits until every member has it, and judges the room with history."""
        speaker = next(one for one in self.speakers if one._room == KEPT)
        members = [one for one in self.members if one.room == KEPT]
        # A member that gets `resync` meanwhile receives what comes after it.
        mark = await speaker.accepted()
        await asyncio.gather(*(one.has_heard_behind(mark) for one in members))
        await speaker.stop()
        last = max(speaker.published.acknowledged)
        await asyncio.gather(*(one.has_heard(last) for one in members))
        verdict = judge(speaker.published, [one.heard for one in members], speaker.published.acknowledged[last])
        print(f"\n{verdict}")
        return verdict

    @property
    def came_once(self) -> bool:
        """Whether no member was disconnected."""
        return all(member.connections == 1 for member in self.members)


@asynccontextmanager
async def actors(
    redis: RedisServer, folder: Path, pods: int = 3, url: str | None = None, **given: object
) -> AsyncIterator[Actors]:
    """Starts pods on `redis` with short timeouts and ends them afterwards. `url`: another address of it."""
    rooms = folder / "rooms.toml"
    rooms.write_text(ROOMS)
    prefix = f"t{secrets.token_hex(6)}"
    group = Actors(redis, prefix)
    # The clients answer no ping, and in a test of a minute they would end with 4408.
    values = {"bus_timeout": 2, "bus_probe_interval": 1, "message_rate": 0, "ping_interval": 300} | given
    values["rooms_file"] = str(rooms)
    async with AsyncExitStack() as stack:
        for _ in range(pods):
            road = Road(redis.port)
            await road.open()
            stack.push_async_callback(road.close)
            group.roads.append(road)
            bus_url = f"{road.url}?prefix={prefix}" if url is None else f"{url}&prefix={prefix}"
            group.pods.append(await stack.enter_async_context(gateway(bus_url=bus_url, **values)))
        try:
            yield group
        finally:
            for speaker in group.speakers:
                for task in speaker._tasks:
                    task.cancel()
            for member in group.members:
                await member.stop()
            await close_clients()
