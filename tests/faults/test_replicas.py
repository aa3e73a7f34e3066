"""A master gets replicas and loses them, and no write is lost: no client hears of it."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.faults.actors import Actors, actors
from tests.servers.incarnations import facts
from tests.support.local_redis import QUICK, SHARDED, RedisServer

SECONDS: Final = float(os.environ.get("REPLICA_SECONDS", "100"))
"""For how long a replica comes and goes. Tried with 600."""

pytestmark = pytest.mark.skipif(not SHARDED, reason="Redis 6.2 does not show what it took from masters")


@pytest.fixture
def master(tmp_path: Path) -> Iterator[RedisServer]:
    """It forgets its replicas after a second without them, and has another id then."""
    server = RedisServer(tmp_path / "master", *QUICK, "--repl-backlog-ttl", "1")
    server.start()
    yield server
    server.close()


@pytest.fixture
def replica(master: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "replica", *QUICK, "--replicaof", "127.0.0.1", str(master.port))
    yield server
    server.close()


async def come_and_go(master: RedisServer, replica: RedisServer) -> None:
    """The replica attaches, and is away for longer than the master waits for it: two new ids."""
    await replica.start_beside()
    known = await asyncio.to_thread(lambda: facts(master).id)
    await asyncio.to_thread(replica.close)
    while await asyncio.to_thread(lambda: facts(master).id) == known:
        await asyncio.sleep(0.1)


async def check_unbroken(group: Actors) -> None:
    """Everybody heard everything in one epoch, and was told of nothing."""
    verdict = await group.end()
    assert (verdict.broken, verdict.resyncs, group.came_once) == ([], 0, True)
    assert len({place[0] for member in group.members for _, place, _ in member.heard.events if place}) == 1


async def test_the_first_replica(master: RedisServer, replica: RedisServer, tmp_path: Path) -> None:
    """Sixty clients hear no `resync` when the first replica attaches, and none when the last one is away for long."""
    async with actors(master, tmp_path) as group:
        members = await group.member(60)
        speaker = await group.speaker(rate=20)
        await speaker.accepted(10)
        before = await asyncio.to_thread(facts, master)
        await replica.start_beside()
        await speaker.accepted(20)
        assert (await asyncio.to_thread(facts, master)).id != before.id
        late = await group.pods[1].connect("late")
        epoch, offset = next(place for kind, place, _ in members[0].heard.events if kind == "joined" and place)
        since = {"epoch": epoch, "offset": offset}
        joined = await late.ask({"type": "join", "room": members[0].room, "since": since})
        assert joined["payload"]["recovered"] is True
        await asyncio.to_thread(replica.close)
        await come_and_go(master, replica)
        await speaker.accepted(20)
        await check_unbroken(group)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
async def test_a_replica_that_comes_and_goes_for_minutes(
    master: RedisServer, replica: RedisServer, tmp_path: Path
) -> None:
    """Each time the id of the master is another one, and no client hears of any of them."""
    # The clients answer no ping.
    async with actors(master, tmp_path, ping_interval=2 * SECONDS) as group:
        await group.member(60)
        speaker = await group.speaker(rate=20)
        end = asyncio.get_running_loop().time() + SECONDS
        while asyncio.get_running_loop().time() < end:
            await come_and_go(master, replica)
            await speaker.accepted(5)
        await check_unbroken(group)
