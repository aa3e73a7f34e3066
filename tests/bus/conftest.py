"""A Redis of one's own for each test that asks for one, and a road to it that can be blocked."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.bus.local_redis import RedisServer, Road
from tests.bus.redis_pod import NewPod, Pod


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running Redis that keeps nothing."""
    server = RedisServer(tmp_path, "--save", "")
    server.start()
    yield server
    server.close()


@pytest.fixture
async def road(redis_server: RedisServer) -> AsyncIterator[Road]:
    """A way to that Redis on which things can go wrong."""
    road = Road(redis_server.port)
    await road.open()
    yield road
    await road.close()


@pytest.fixture
async def new_pod() -> AsyncIterator[NewPod]:
    """Makes pods, and shows that each of them ends without a trace."""
    before = asyncio.all_tasks()
    pods: list[Pod] = []

    def make(url: str, timeout: float = 1.0, probe_interval: float = 0.5) -> Pod:
        pods.append(Pod(url, timeout, probe_interval))
        return pods[-1]

    yield make
    for pod in pods:
        await pod.bus.close()
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - before if "/app/bus/" in repr(task)]
    assert left == []
