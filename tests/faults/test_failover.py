"""A master dies before its replica has all data: every client learns of acknowledged messages that are lost."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.actors import actors
from tests.support.local_redis import QUICK, RedisServer, Road, Sentinel


@pytest.fixture
def master(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "master", *QUICK)
    server.start()
    yield server
    server.close()


async def test_promoted_with_stalled_replication(master: RedisServer, tmp_path: Path) -> None:
    """A promoted replica starts a new epoch, recovers no position of the old one, and loses no later message."""
    link = Road(master.port)
    await link.open()
    replica = RedisServer(tmp_path / "replica", *QUICK, "--replicaof", "127.0.0.1", str(link.port))
    sentinel = Sentinel(tmp_path / "sentinel", master.port)
    try:
        await replica.start_beside()
        sentinel.start()
        async with actors(master, tmp_path, url=f"{sentinel.url}?master=main") as group:
            members = await group.member(60)
            speaker = await group.speaker()
            await speaker.accepted(20)
            await asyncio.to_thread(sentinel.await_replica)
            link.hold()
            await speaker.accepted(50)
            master.kill()
            died = time.monotonic()
            await speaker.accepted(20)
            assert time.monotonic() - died < 20
            verdict = await group.end()
            assert verdict.broken == []
            assert verdict.resyncs >= len(members)
            assert group.came_once
            late = await group.pods[0].connect("late")
            epochs = {place[0] for _, place, _ in members[0].heard.events if place}
            assert len(epochs) == 2
            old, offset = next(place for kind, place, _ in members[0].heard.events if kind == "joined" and place)
            since = {"epoch": old, "offset": offset}
            joined = await late.ask({"type": "join", "room": members[0].room, "since": since})
            assert joined["payload"]["recovered"] is False
    finally:
        for server in (sentinel, replica):
            server.close()
        await link.close()
