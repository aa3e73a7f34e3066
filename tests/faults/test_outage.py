"""An outage of the bus is no absence: after it nobody hears that others left, and nobody loses a place."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.actors import CROWD, PATIENCE, Actors, actors
from tests.support.even_machine import again_if_uneven
from tests.support.gateway import Client, call, token
from tests.support.local_redis import RedisServer

LEASE = 3


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test alone, which keeps its data over a restart."""
    server = RedisServer(tmp_path / "redis", "--save", "", "--appendonly", "yes", "--appendfsync", "always")
    server.start()
    yield server
    server.close()


@asynccontextmanager
async def crowd(redis: RedisServer, folder: Path) -> AsyncIterator[tuple[Actors, list[Client]]]:
    """Three pods with a short lease, and two users on each, who have heard of each other."""
    rules: dict[str, Any] = {"presence_lease": LEASE, "presence_grace": 0, "bus_timeout": 1, "bus_probe_interval": 0.5}
    async with actors(redis, folder, pods=3, max_connections_per_user=1, **rules) as group:
        clients = [await group.pods[n % 3].join(f"u{n}", CROWD) for n in range(6)]
        for n, client in enumerate(clients):
            for _ in range(5 - n):
                await client.hear("user-joined")
        yield group, clients


async def news(client: Client) -> list[tuple[str, str]]:
    """The news of presence that wait for `client`. A `resync` may be among them: live messages may be lost."""
    await client.say({"type": "ping"})
    found = []
    while (heard := await client.hear())["type"] != "pong":
        if heard["type"] != "resync":
            found.append((heard["type"], heard["payload"]["user"]))
    return found


async def nothing_is_heard(group: Actors, clients: list[Client]) -> None:
    """For two leases the members hear no news; all are present, and none has a free place."""
    await asyncio.sleep(2 * LEASE)
    assert [await news(client) for client in clients] == [[]] * 6
    status, page = await call(group.pods[0], "GET", f"/v1/rooms/{CROWD}/presence")
    assert (status, page["users"], page["count"]) == (200, 6, 6)
    for n in range(6):
        second = await Client.open(group.pods[(n + 1) % 3].port, token(f"u{n}"))
        assert await second.ended_or_welcome() == "4409"


async def back(group: Actors) -> None:
    async with asyncio.timeout(PATIENCE):
        while not all(pod.running._pod.bus.up for pod in group.pods):
            await asyncio.sleep(0.05)


@again_if_uneven(3)
async def test_a_redis_that_was_frozen_for_longer_than_the_lease(durable_redis: RedisServer, tmp_path: Path) -> None:
    """No `user-left` and no `user-joined`: no pod could keep its lease, and each of them knows it."""
    async with crowd(durable_redis, tmp_path) as (group, clients):
        durable_redis.freeze()
        await asyncio.sleep(2 * LEASE)
        durable_redis.thaw()
        await back(group)
        await nothing_is_heard(group, clients)


@pytest.mark.parametrize("data", ["kept", "lost"])
@again_if_uneven(3)
async def test_a_redis_that_was_started_again(durable_redis: RedisServer, tmp_path: Path, data: str) -> None:
    """With its data the leases in it are old; without them nobody is registered. Members hear nothing of either."""
    async with crowd(durable_redis, tmp_path) as (group, clients):
        durable_redis.kill()
        await asyncio.sleep(LEASE + 1)
        if data == "lost":
            durable_redis.options += ["--appendfilename", "another.aof"]
        durable_redis.start()
        await back(group)
        await nothing_is_heard(group, clients)


@again_if_uneven(3)
async def test_a_flush_is_no_absence(durable_redis: RedisServer, tmp_path: Path) -> None:
    """A Redis that is emptied while it runs is told again who is there, without news."""
    async with crowd(durable_redis, tmp_path) as (group, clients):
        durable_redis.do("FLUSHALL")
        await nothing_is_heard(group, clients)


@again_if_uneven(3)
async def test_who_left_during_the_outage_is_gone_after_it(durable_redis: RedisServer, tmp_path: Path) -> None:
    """Its own pod says so, once."""
    async with crowd(durable_redis, tmp_path) as (group, clients):
        durable_redis.freeze()
        await asyncio.sleep(LEASE + 1)
        await clients[5].close()
        durable_redis.thaw()
        await back(group)
        await asyncio.sleep(2 * LEASE)
        assert [await news(client) for client in clients[:5]] == [[("user-left", "u5")]] * 5
