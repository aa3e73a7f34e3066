"""Faults of Redis: no client is disconnected, and every loss that cannot be repaired is announced."""

import asyncio
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.faults.actors import BRIEF, KEPT, LIVE, PATIENCE, PRESENT, actors
from tests.faults.checker import complete, judge_live
from tests.support.gateway import Client, Gateway, call, token
from tests.support.local_redis import RedisServer


async def test_killed_and_started_empty(own_redis: RedisServer, tmp_path: Path) -> None:
    """After an empty restart there is a new epoch, one resync per member, and service within seconds."""
    async with actors(own_redis, tmp_path) as group:
        await group.member(30)
        speaker = await group.speaker()
        await speaker.accepted(50)
        own_redis.kill()
        own_redis.start()
        back = time.monotonic()
        await speaker.accepted(50)
        verdict = await group.end()
        assert verdict.broken == []
        assert time.monotonic() - back < 10
        assert group.came_once
        assert verdict.resyncs == 30


async def test_started_again_from_an_old_snapshot(own_redis: RedisServer, tmp_path: Path) -> None:
    """After a restart from an old snapshot there is a new epoch, although the data survived."""
    async with actors(own_redis, tmp_path) as group:
        await group.member(9)
        speaker = await group.speaker()
        await speaker.accepted(20)
        own_redis.do("SAVE")
        await speaker.accepted(40)
        own_redis.kill()
        own_redis.start()
        await speaker.accepted(20)
        verdict = await group.end()
        assert verdict.broken == []
        assert verdict.resyncs >= 9
        assert group.came_once
        late = (await group.member(1))[0]
        assert late.heard.events[0][0] == "joined"


@pytest.mark.parametrize("seconds", [6, pytest.param(20, marks=pytest.mark.slow)])
async def test_frozen(own_redis: RedisServer, tmp_path: Path, seconds: float) -> None:
    """With Redis frozen no client is disconnected, publishes fail in time, and nothing is lost or repeated."""
    async with actors(own_redis, tmp_path) as group:
        await group.member(9)
        speaker = await group.speaker()
        await speaker.accepted(20)
        own_redis.freeze()
        frozen = time.monotonic()
        async with asyncio.timeout(seconds):
            # The longest wait of a caller: one timeout for its own answer, and one for the answer before it.
            while not speaker.published.refused:
                await asyncio.sleep(0.01)
        # Half as much again for a machine that stands still.
        assert time.monotonic() - frozen < 3 * 2
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - frozen)))
        own_redis.thaw()
        thawed = time.monotonic()
        await speaker.accepted(1)
        # A back-off may be as long as 2 s.
        assert time.monotonic() - thawed < 6
        verdict = await group.end()
        assert verdict.broken == []
        assert verdict.resyncs == 0
        assert group.came_once
        assert complete(speaker.published, {one.who: one.heard for one in group.members}) == []


async def test_subscribers_are_killed_again_and_again(own_redis: RedisServer, tmp_path: Path) -> None:
    """Killed subscribers lose nothing in rooms with history, and live rooms get `resync`."""
    async with actors(own_redis, tmp_path) as group:
        await group.member(9)
        await group.member(9, LIVE)
        kept, live = await group.speaker(), await group.speaker(1, LIVE)
        for _ in range(10):
            await kept.accepted(10)
            own_redis.do("CLIENT", "KILL", "TYPE", "pubsub")
        await live.accepted(30)
        await live.stop()
        verdict = await group.end()
        assert verdict.broken == []
        assert (verdict.resyncs, verdict.unrecovered) == (0, 0)
        assert complete(kept.published, {one.who: one.heard for one in group.members if one.room == KEPT}) == []
        verdict = judge_live(live.published, [one.heard for one in group.members if one.room == LIVE])
        assert verdict.broken == []
        assert group.came_once


async def test_a_subscription_that_hears_nothing(own_redis: RedisServer, tmp_path: Path) -> None:
    """A half-open subscription is found within two probe intervals, and missed messages are read."""
    async with actors(own_redis, tmp_path) as group:
        await group.member(9)
        speaker = await group.speaker()
        await speaker.accepted(20)
        assert group.roads[1].mute(b"subscribe")
        await speaker.accepted(50)
        verdict = await group.end()
        assert verdict.broken == []
        assert verdict.resyncs == 0
        assert group.came_once
        assert complete(speaker.published, {one.who: one.heard for one in group.members}) == []


async def test_far_away_and_slow(own_redis: RedisServer, tmp_path: Path) -> None:
    """With 200 ms of jittered delay and 100 kB/s all messages arrive late, complete and in order."""
    async with actors(own_redis, tmp_path) as group:
        await group.member(9)
        for road in group.roads:
            road.latency, road.rate = 0.2, 100_000
        speaker = await group.speaker(rate=50)
        await speaker.accepted(100)
        verdict = await group.end()
        assert verdict.broken == []
        assert group.came_once
        assert complete(speaker.published, {one.who: one.heard for one in group.members}) == []


async def test_one_pod_cut_off(own_redis: RedisServer, tmp_path: Path) -> None:
    """A pod cut off from Redis keeps its clients and refuses quickly; later its members get everything."""
    async with actors(own_redis, tmp_path) as group:
        await group.member(9)
        speaker, cut_off = await group.speaker(0), await group.speaker(1, LIVE, rate=10)
        await speaker.accepted(20)
        group.roads[1].hold()
        refused = time.monotonic()
        while not cut_off.published.refused:
            await asyncio.sleep(0.01)
        assert time.monotonic() - refused < 3 * 2
        await speaker.accepted(300)
        assert not speaker.published.refused
        group.roads[1].let_go()
        verdict = await group.end()
        assert verdict.broken == []
        assert group.came_once
        assert complete(speaker.published, {one.who: one.heard for one in group.members}) == []


async def test_joining_while_others_speak_and_redis_is_far(own_redis: RedisServer, tmp_path: Path) -> None:
    """Messages between a join and its confirmation arrive once and in order."""
    async with actors(own_redis, tmp_path, pods=3) as group:
        speaker = await group.speaker(rate=200)
        await speaker.accepted(20)
        for road in group.roads[1:]:
            road.latency = 0.15
        for _ in range(3):
            await group.member(6)
        verdict = await group.end()
        assert verdict.broken == []
        assert (verdict.resyncs, group.came_once) == (0, True)


async def test_an_expired_history_is_a_gap(own_redis: RedisServer, tmp_path: Path) -> None:
    """Expired messages count as missed and are announced, but a quiet room has no gap."""
    async with actors(own_redis, tmp_path, pods=2) as group:
        one, two = group.pods
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
    """A full Redis refuses messages that no member receives; later it continues in the same epoch."""
    async with actors(own_redis, tmp_path) as group:
        await group.member(9)
        speaker = await group.speaker()
        await speaker.accepted(20)
        own_redis.do("CONFIG", "SET", "maxmemory", "1")
        while "unavailable" not in speaker.published.refused.values():
            await asyncio.sleep(0.01)
        own_redis.do("CONFIG", "SET", "maxmemory", "0")
        await speaker.accepted(20)
        verdict = await group.end()
        assert verdict.broken == []
        assert verdict.resyncs == 0
        assert group.came_once


async def test_what_redis_evicted_is_admitted(own_redis: RedisServer, tmp_path: Path) -> None:
    """A room whose epoch was evicted starts a new one and sends `resync`."""
    async with actors(own_redis, tmp_path) as group:
        await group.member(9)
        speaker = await group.speaker()
        await speaker.accepted(20)
        for key in own_redis.do("KEYS", f"*:m:{KEPT}"):  # type: ignore[attr-defined]
            own_redis.do("DEL", key)
        await speaker.accepted(20)
        verdict = await group.end()
        assert verdict.broken == []
        assert verdict.resyncs == 9


async def test_an_old_snapshot_brings_back_nobody(own_redis: RedisServer, tmp_path: Path) -> None:
    """After an old snapshot presence and user limits are right again within seconds."""
    async with actors(
        own_redis, tmp_path, pods=2, presence_lease=6, presence_grace=0, max_connections_per_user=2
    ) as group:
        one, two = group.pods
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
    """Waits until `presence` lists exactly these users, and returns it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status, roll = await call(pod, "GET", f"/v1/rooms/{PRESENT}/presence")
            if status == 200 and [one["user"] for one in roll["members"]] == list(users):  # type: ignore[attr-defined]
                return roll
            await asyncio.sleep(0.1)


async def test_a_reader_that_redis_drops_for_being_slow(own_redis: RedisServer, tmp_path: Path) -> None:
    """A pod that Redis drops for its full output buffer reads the missed messages."""
    own_redis.do("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 1mb 1")
    async with actors(own_redis, tmp_path, pods=2) as group:
        await group.member(4)
        speaker = await group.speaker()
        await speaker.accepted(20)
        group.roads[1].hold()
        for _ in range(40):
            # Enough messages for the paused pod that Redis drops its connection.
            own_redis.do("PUBLISH", channel(group.prefix), "x" * 1_000_000)
        group.roads[1].let_go()
        verdict = await group.end()
        assert verdict.broken == []
        assert group.came_once


def channel(prefix: str, room: str = KEPT) -> str:
    """A room's channel."""
    return f"{prefix}:{{{zlib.crc32(room.encode()) % 256}}}:c:{room}"
