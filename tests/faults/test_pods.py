"""Faults of pods and rooms, and what clients see of them."""

import asyncio
import random
import secrets
import time
from pathlib import Path
from typing import Any

import pytest

from forestay.protocol import envelope
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from tests.faults.actors import KEPT, LIVE, PATIENCE, actors
from tests.faults.checker import complete, judge
from tests.faults.test_redis import channel
from tests.support.gateway import Client, call, token
from tests.support.local_redis import RedisServer
from tests.support.process import serving

ROOMS = """
[[rooms]]
pattern = "log.*"
join_leave = true
[rooms.history]
size = 1000
ttl = 600
"""


class Port:
    """A pod in another process, as its members see it."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def connect(self, user: str) -> Client:
        client = await Client.open(self.port, token(user))
        await client.hear("welcome")
        return client


async def test_a_killed_pod(redis: RedisServer, tmp_path: Path) -> None:
    """Members of a killed pod recover everything on another pod; those that stay away leave by their lease."""
    rooms = tmp_path / "present.toml"
    rooms.write_text(ROOMS)
    environ = {
        "FORESTAY_BUS_URL": f"{redis.url}?prefix=t{secrets.token_hex(6)}",
        "FORESTAY_ROOMS_FILE": str(rooms),
        "FORESTAY_PRESENCE_LEASE": "3",
        "FORESTAY_PRESENCE_GRACE": "1",
    }
    async with actors(redis, tmp_path, pods=0) as group, serving(**environ) as one, serving(**environ) as two:
        group.pods += [Port(one.port), Port(two.port)]  # type: ignore[list-item]
        await group.member(20)
        ghosts = [await Port(two.port).connect(f"ghost-{n}") for n in range(20)]
        for ghost in ghosts:
            await ghost.ask({"type": "join", "room": KEPT})
        speaker = await group.speaker(0)
        await speaker.accepted(30)
        two.process.kill()
        killed = time.monotonic()
        group.pods.pop()
        await speaker.accepted(100)
        verdict = await group.end()
        assert verdict.broken == []
        assert (verdict.resyncs, verdict.unrecovered) == (0, 0)
        assert complete(speaker.published, {member.who: member.heard for member in group.members}) == []
        witness = await group.pods[0].connect("m0")
        async with asyncio.timeout(PATIENCE):
            while True:
                users = (await witness.ask({"type": "presence", "room": KEPT}))["payload"]["users"]
                if users == len(group.members):
                    break
                await asyncio.sleep(0.1)
        assert time.monotonic() - killed < 3 + 5 + 1
        for ghost in ghosts:
            await ghost.close()


async def test_coming_and_going_leaves_nothing_behind(redis: RedisServer, tmp_path: Path) -> None:
    """After fifty clients joined and left twenty rooms, no subscription is left in Redis."""
    async with actors(redis, tmp_path, pods=2) as group:
        rooms = [f"{kind}.{n}" for kind in ("log", "chat") for n in range(10)]
        clients = [await group.pods[n % 2].connect(f"u{n}") for n in range(50)]
        speakers = [await group.speaker(n % 2, room, rate=20) for n, room in enumerate(rooms[::4])]
        rng = random.Random(7)
        readers = [asyncio.create_task(swallow(client)) for client in clients]
        for _ in range(1500):
            kind, room = rng.choice(("join", "leave")), rng.choice(rooms)
            await rng.choice(clients).say({"type": kind, "room": room})
            if rng.random() < 0.05:
                await asyncio.sleep(0.01)
        for speaker in speakers:
            await speaker.stop()
        for client, reader in zip(clients, readers, strict=True):
            reader.cancel()
            await client.close()
        async with asyncio.timeout(PATIENCE):
            while heard := [room for room in rooms if subscribers(redis, group.prefix, room)]:
                await asyncio.sleep(0.05)
        assert heard == []
        for pod in group.pods:
            running = pod.running._pod
            assert (len(running.rooms), running.subscriptions.rooms(), running.recovery._views) == (0, [], {})


def subscribers(redis: RedisServer, prefix: str, room: str) -> int:
    answer: Any = redis.do("PUBSUB", "NUMSUB", channel(prefix, room))
    return int(answer[1])


async def swallow(client: Client) -> None:
    while True:
        await client.read()


async def test_a_history_that_is_too_short_is_admitted(redis: RedisServer, tmp_path: Path) -> None:
    """A client that missed more than the history has is not `recovered`."""
    async with actors(redis, tmp_path, pods=2) as group:
        for pod in group.pods:
            assert pod.running._pod.recovery._policies.of(RoomName(KEPT)).history is not None
        speaker = await group.speaker(rate=2000)
        await speaker.accepted(1)
        [(epoch, offset)] = [at for at in list(speaker.published.acknowledged.values())[:1] if at]
        await speaker.accepted(1101)
        await speaker.stop()
        late = await group.pods[1].connect("late")
        for since, recovered in ((offset, False), (offset + 500, True)):
            joined = await late.ask({"type": "join", "room": KEPT, "since": {"epoch": epoch, "offset": since}})
            assert joined["payload"]["recovered"] is recovered
            await late.say({"type": "leave", "room": KEPT})
            while (await late.hear())["type"] != "left":
                pass


async def test_clients_that_go_in_the_middle_of_a_question(redis: RedisServer, tmp_path: Path) -> None:
    """When clients vanish during requests, no client gets another one's reply and no state stays."""
    async with actors(redis, tmp_path, pods=1) as group:
        [pod] = group.pods
        for room in ("log.x", "log.y"):
            for number in range(20):
                await call(pod, "POST", f"/v1/rooms/{room}/messages", f'{{"payload": "{room} {number}"}}'.encode())
        steady = await pod.connect("steady")
        before = len(asyncio.all_tasks())
        for number in range(300):
            client = await pod.connect(f"u{number}")
            await client.say({"type": "history", "room": "log.x"}, {"type": "join", "room": "log.x"})
            await asyncio.sleep(0)
            await client.close()
            page = await steady.ask({"type": "history", "room": "log.y", "limit": 5})
            assert [one["payload"] for one in page["payload"]["messages"]] == [f"log.y {n}" for n in range(15, 20)]
        async with asyncio.timeout(PATIENCE):
            while len(asyncio.all_tasks()) > before or len(pod.running._pod.hub) > 1:
                await asyncio.sleep(0.02)


async def test_a_newer_pod_on_the_same_bus(redis: RedisServer, tmp_path: Path) -> None:
    """Unknown fields of a newer pod are ignored, unknown forms are dropped, and other messages arrive."""
    async with actors(redis, tmp_path, pods=1) as group:
        [member] = await group.member(1, LIVE)
        known = envelope.encode(Message(RoomName(LIVE), b'"from the future"', "2030-01-01T00:00:00.000Z"))
        assert known[1] & 0xF0 == 0x90
        # No event and no binary parts, as far as this pod reads, and then something newer.
        longer = known[:1] + bytes([0xDC, 0, (known[1] & 0x0F) + 3]) + known[2:] + b"\xc0\xa0\xa3new"
        for raw in (b"L\x07" + known[1:], b"", b"L" + longer):
            redis.do("PUBLISH", channel(group.prefix, LIVE), raw)
        await member.has_heard("from the future")
        assert [what for kind, _, what in member.heard.events if kind == "broadcast"] == ["from the future"]


@pytest.mark.slow
async def test_all_of_it_at_once(tmp_path: Path) -> None:
    """All faults for a minute, with three pods and ninety members, break no promise."""
    server = RedisServer(tmp_path / "redis", "--save", "", "--appendonly", "yes")
    server.start()
    try:
        async with actors(server, tmp_path) as group:
            await group.member(90)
            speaker = await group.speaker(rate=200)
            rng = random.Random(3)
            until = time.monotonic() + 45
            while time.monotonic() < until:
                await speaker.accepted(50)
                match rng.randrange(6):
                    case 0:
                        server.kill()
                        server.start()
                    case 1:
                        server.freeze()
                        await asyncio.sleep(rng.uniform(0.1, 3))
                        server.thaw()
                    case 2:
                        server.do("CLIENT", "KILL", "TYPE", "pubsub")
                    case 3:
                        rng.choice(group.roads).cut()
                    case 4:
                        road = rng.choice(group.roads[1:])
                        road.hold()
                        await asyncio.sleep(rng.uniform(0.1, 3))
                        road.let_go()
                    case _:
                        rng.choice(group.roads).mute(b"subscribe")
            assert judge(speaker.published, [member.heard for member in group.members]).broken == []
            assert (await group.end()).broken == []
            assert group.came_once
    finally:
        server.close()
