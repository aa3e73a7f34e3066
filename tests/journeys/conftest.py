"""Fixtures: a Redis that a test may freeze and kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local_redis import RedisServer


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test alone, which may be frozen and killed."""
    server = RedisServer(tmp_path / "redis", "--save", "")
    server.start()
    try:
        yield server
    finally:
        server.close()
