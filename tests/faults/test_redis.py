"""What happens to Redis, and what clients see of it: nobody is disconnected, and what cannot be made good is told."""

import asyncio
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.cast import BRIEF, KEPT, LIVE, PATIENCE, PRESENT, cast
from tests.faults.checker import complete, judge_live
from tests.support.gateway import Client, Gateway, call, token
from tests.support.local_redis import RedisServer


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may do anything to."""
    server = RedisServer(tmp_path / "redis", "--save", "")
    server.start()
    yield server
    server.close()


async def test_killed_and_started_empty(own_redis: RedisServer, tmp_path: Path) -> None:
    """A new epoch, one resync for everybody, and on it goes within seconds."""
    async with cast(own_redis, tmp_path) as everybody:
        await everybody.member(30)
        speaker = await everybody.speaker()
        await speaker.accepted(50)
        own_redis.kill()
        own_redis.start()
        back = time.monotonic()
        await speaker.accepted(50)
        verdict = await everybody.end()
        assert verdict.broken == []
        assert time.monotonic() - back < 10
        assert everybody.came_once
        assert verdict.resyncs == 30


async def test_started_again_from_an_old_snapshot(own_redis: RedisServer, tmp_path: Path) -> None:
    """The data survived and is older than what members have: a new epoch all the same."""
    async with cast(own_redis, tmp_path) as everybody:
        await everybody.member(9)
        speaker = await everybody.speaker()
        await speaker.accepted(20)
        own_redis.do("SAVE")
        await speaker.accepted(40)
        own_redis.kill()
        own_redis.start()
        await speaker.accepted(20)
        verdict = await everybody.end()
        assert verdict.broken == []
        assert verdict.resyncs >= 9
        assert everybody.came_once
        late = (await everybody.member(1))[0]
        assert late.heard.events[0][0] == "joined"


@pytest.mark.parametrize("seconds", [5, pytest.param(20, marks=pytest.mark.slow)])
async def test_frozen(own_redis: RedisServer, tmp_path: Path, seconds: float) -> None:
    """Nobody is disconnected, publishes are unknown or refused in time, and nothing is lost or said twice."""
    async with cast(own_redis, tmp_path) as everybody:
        await everybody.member(9)
        speaker = await everybody.speaker()
        await speaker.accepted(20)
        own_redis.freeze()
        frozen = time.monotonic()
        async with asyncio.timeout(seconds):
            # The longest that a caller waits: what it takes for an answer, and for the one behind it.
            while not speaker.said.refused:
                await asyncio.sleep(0.01)
        assert time.monotonic() - frozen < 2 * 2
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - frozen)))
        own_redis.thaw()
        thawed = time.monotonic()
        await speaker.accepted(1)
        assert time.monotonic() - thawed < 3
        verdict = await everybody.end()
        assert verdict.broken == []
        assert verdict.resyncs == 0
        assert everybody.came_once
        assert complete(speaker.said, {one.who: one.heard for one in everybody.members}) == []


async def test_subscribers_are_killed_again_and_again(own_redis: RedisServer, tmp_path: Path) -> None:
    """Rooms with history lose nothing and are not even told; live rooms are told of what they may have missed."""
    async with cast(own_redis, tmp_path) as everybody:
        await everybody.member(9)
        await everybody.member(9, LIVE)
        kept, live = await everybody.speaker(), await everybody.speaker(1, LIVE)
        for _ in range(10):
            await kept.accepted(10)
            own_redis.do("CLIENT", "KILL", "TYPE", "pubsub")
        await live.accepted(30)
        await live.stop()
        verdict = await everybody.end()
        assert verdict.broken == []
        assert (verdict.resyncs, verdict.unrecovered) == (0, 0)
        assert complete(kept.said, {one.who: one.heard for one in everybody.members if one.room == KEPT}) == []
        verdict = judge_live(live.said, [one.heard for one in everybody.members if one.room == LIVE])
        assert verdict.broken == []
        assert everybody.came_once


async def test_a_subscription_that_hears_nothing(own_redis: RedisServer, tmp_path: Path) -> None:
    """Half open: found within two probe intervals, and what was missed is read."""
    async with cast(own_redis, tmp_path) as everybody:
        await everybody.member(9)
        speaker = await everybody.speaker()
        await speaker.accepted(20)
        assert everybody.roads[1].mute(b"subscribe")
        await speaker.accepted(50)
        verdict = await everybody.end()
        assert verdict.broken == []
        assert verdict.resyncs == 0
        assert everybody.came_once
        assert complete(speaker.said, {one.who: one.heard for one in everybody.members}) == []


async def test_far_away_and_slow(own_redis: RedisServer, tmp_path: Path) -> None:
    """200 ms give or take, and 100 kB a second: late, in order, and all of it."""
    async with cast(own_redis, tmp_path) as everybody:
        await everybody.member(9)
        for road in everybody.roads:
            road.latency, road.rate = 0.2, 100_000
        speaker = await everybody.speaker(rate=50)
        await speaker.accepted(100)
        verdict = await everybody.end()
        assert verdict.broken == []
        assert everybody.came_once
        assert complete(speaker.said, {one.who: one.heard for one in everybody.members}) == []


async def test_one_pod_cut_off(own_redis: RedisServer, tmp_path: Path) -> None:
    """Its clients stay, it refuses quickly, the others do not notice; afterwards its members have everything."""
    async with cast(own_redis, tmp_path) as everybody:
        await everybody.member(9)
        speaker, cut_off = await everybody.speaker(0), await everybody.speaker(1, LIVE, rate=10)
        await speaker.accepted(20)
        everybody.roads[1].hold()
        refused = time.monotonic()
        while not cut_off.said.refused:
            await asyncio.sleep(0.01)
        assert time.monotonic() - refused < 2 * 2
        await speaker.accepted(300)
        assert not speaker.said.refused
        everybody.roads[1].let_go()
        verdict = await everybody.end()
        assert verdict.broken == []
        assert everybody.came_once
        assert complete(speaker.said, {one.who: one.heard for one in everybody.members}) == []


async def test_joining_while_others_speak_and_redis_is_far(own_redis: RedisServer, tmp_path: Path) -> None:
    """What is said between the wish to hear a room and its confirmation is had once, and in order."""
    async with cast(own_redis, tmp_path, pods=3) as everybody:
        speaker = await everybody.speaker(rate=200)
        await speaker.accepted(20)
        for road in everybody.roads[1:]:
            road.latency = 0.15
        for _ in range(3):
            await everybody.member(6)
        verdict = await everybody.end()
        assert verdict.broken == []
        assert (verdict.resyncs, everybody.came_once) == (0, True)


async def test_a_history_that_is_over(own_redis: RedisServer, tmp_path: Path) -> None:
    """Messages that are gone are missed and said to be; that a room was quiet is no gap."""
    async with cast(own_redis, tmp_path, pods=2) as everybody:
        one, two = everybody.pods
        places = [(await call(one, "POST", f"/v1/rooms/{BRIEF}/messages", b'{"payload": 1}'))[1] for _ in range(3)]
        async with asyncio.timeout(PATIENCE):
            while (await call(two, "GET", f"/v1/rooms/{BRIEF}/history"))[1]["messages"]:
                await asyncio.sleep(0.1)
        for place, recovered in ((places[0], False), (places[2], True)):
            client = await two.connect("late")
            joined = await client.ask({"type": "join", "room": BRIEF, "since": place})
            assert joined["payload"] == places[2] | {"recovered": recovered}
            assert await client.silent()


async def test_full(own_redis: RedisServer, tmp_path: Path) -> None:
    """What it does not take is refused and never heard; afterwards it goes on in the same epoch."""
    async with cast(own_redis, tmp_path) as everybody:
        await everybody.member(9)
        speaker = await everybody.speaker()
        await speaker.accepted(20)
        own_redis.do("CONFIG", "SET", "maxmemory", "1")
        while "unavailable" not in speaker.said.refused.values():
            await asyncio.sleep(0.01)
        own_redis.do("CONFIG", "SET", "maxmemory", "0")
        await speaker.accepted(20)
        verdict = await everybody.end()
        assert verdict.broken == []
        assert verdict.resyncs == 0
        assert everybody.came_once


async def test_what_redis_evicted_is_admitted(own_redis: RedisServer, tmp_path: Path) -> None:
    """A room whose epoch is gone begins anew, and says so."""
    async with cast(own_redis, tmp_path) as everybody:
        await everybody.member(9)
        speaker = await everybody.speaker()
        await speaker.accepted(20)
        for key in own_redis.do("KEYS", f"*:m:{KEPT}"):  # type: ignore[attr-defined]
            own_redis.do("DEL", key)
        await speaker.accepted(20)
        verdict = await everybody.end()
        assert verdict.broken == []
        assert verdict.resyncs == 9


async def test_an_old_snapshot_brings_back_nobody(own_redis: RedisServer, tmp_path: Path) -> None:
    """Who left since is gone again within seconds, who came since is there, and their connections are counted right."""
    async with cast(
        own_redis, tmp_path, pods=2, presence_lease=6, presence_grace=0, max_connections_per_user=2
    ) as everybody:
        one, two = everybody.pods
        await one.join("stays", PRESENT)
        ghost = await two.join("ghost", PRESENT)
        second = await two.connect("ghost")
        own_redis.do("SAVE")
        await ghost.close()
        await second.close()
        await one.join("late", PRESENT)
        assert (await settled(one, "late", "stays"))["users"] == 2
        own_redis.kill()
        own_redis.start()
        assert (await settled(two, "late", "stays"))["count"] == 2
        for _ in range(2):
            async with asyncio.timeout(PATIENCE):
                while await (await Client.open(one.port, token("ghost"))).ended_or_welcome() != "welcome":
                    await asyncio.sleep(0.1)


async def settled(pod: Gateway, *users: str) -> dict[str, Any]:
    """What `presence` says once these and no others are there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status, roll = await call(pod, "GET", f"/v1/rooms/{PRESENT}/presence")
            if status == 200 and [one["user"] for one in roll["members"]] == list(users):  # type: ignore[attr-defined]
                return roll
            await asyncio.sleep(0.1)


async def test_a_reader_that_redis_drops_for_being_slow(own_redis: RedisServer, tmp_path: Path) -> None:
    """Its output buffer overflows while the pod stands still: what it missed is read."""
    own_redis.do("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1")
    async with cast(own_redis, tmp_path, pods=2) as everybody:
        await everybody.member(4)
        speaker = await everybody.speaker()
        await speaker.accepted(20)
        everybody.roads[1].hold()
        for _ in range(40):
            # What the held pod hears of: as much as makes Redis give it up.
            own_redis.do("PUBLISH", channel(everybody.prefix), "x" * 1_000_000)
        everybody.roads[1].let_go()
        verdict = await everybody.end()
        assert verdict.broken == []
        assert everybody.came_once


def channel(prefix: str, room: str = KEPT) -> str:
    """A room's channel, by the grammar of names."""
    return f"{prefix}:{{{zlib.crc32(room.encode()) % 256}}}:c:{room}"
