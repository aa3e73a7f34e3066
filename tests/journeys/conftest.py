"""Pods for the tests of several files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.local_redis import RedisServer
from tests.support.pods import NewPod, pods


@pytest.fixture
async def new_pod(request: pytest.FixtureRequest, redis: RedisServer, tmp_path: Path) -> AsyncIterator[NewPod]:
    """Yields a function that makes pods of one gateway, with the policies that the test's module has in `ROOMS`."""
    async with pods(redis, tmp_path, getattr(request.module, "ROOMS", "")) as make:
        yield make
