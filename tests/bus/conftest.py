"""Fixtures: Redis servers, a proxy that can block, and pods."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import docker
import docker.errors
import pytest
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from forestay.bus.redis.guard import TRUSTING, Guard
from tests.bus.redis_pod import NewPod, Pod
from tests.support.local_redis import QUICK, SHARDED, Authority, Cluster, RedisServer, Road, Sentinel
from tests.support.servers import VALKEY

IMAGE = "redis:7"


@pytest.fixture(scope="module")
def tls(redis: RedisServer) -> RedisServer:
    """The shared Redis; the test puts a proxy with TLS in front of it."""
    return redis


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinel]:
    """A sentinel that watches a master with a replica."""
    folder = tmp_path_factory.mktemp("sentinel")
    for master in running(RedisServer(folder / "master", *QUICK)):
        for replica in running(RedisServer(folder / "replica", *QUICK, "--replicaof", "127.0.0.1", str(master.port))):
            replica.await_master()
            yield from running(Sentinel(folder / "sentinel", master.port))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Cluster of three primaries."""
    if not SHARDED:
        pytest.skip("a Cluster needs Redis 7.0")
    yield from running(Cluster(tmp_path_factory.mktemp("cluster")))


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Valkey that tests share, each with its own prefix."""
    if not VALKEY.program.exists():
        pytest.skip("no Valkey here; `make servers` installs it, and runs these tests on more servers")
    yield from running(RedisServer(tmp_path_factory.mktemp("valkey"), *QUICK, program=str(VALKEY.program)))


@dataclass(frozen=True, slots=True)
class Container:
    """The address of a Redis in a container."""

    url: str


@pytest.fixture(scope="module")
def container() -> Iterator[Container]:
    """A Redis in a container; skips where Docker does not answer or has no image."""
    try:
        # Try the socket first: the library leaves that of a failed attempt open.
        with closing(socket.socket(socket.AF_UNIX)) as attempt:
            attempt.connect(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://"))
        with closing(docker.from_env(timeout=5)) as client:
            client.images.get(IMAGE)
    except (OSError, docker.errors.DockerException):
        pytest.skip(f"no Docker here that has the image {IMAGE}")
    # The reaper is another image, which may be missing; this fixture ends its container itself.
    testcontainers_config.ryuk_disabled = True
    ready = LogMessageWaitStrategy("Ready to accept connections").with_startup_timeout(30)
    with DockerContainer(IMAGE).with_exposed_ports(6379).waiting_for(ready) as running:
        yield Container(f"redis://{running.get_container_host_ip()}:{running.get_exposed_port(6379)}")


Server = TypeVar("Server", RedisServer, Sentinel, Cluster)


def running(server: Server) -> Iterator[Server]:
    server.start()
    yield server
    server.close()


@pytest.fixture
async def road(own_redis: RedisServer) -> AsyncIterator[Road]:
    """A proxy in front of that Redis, which can block and cut connections."""
    road = Road(own_redis.port)
    await road.open()
    yield road
    await road.close()


@pytest.fixture
async def new_pod() -> AsyncIterator[NewPod]:
    """Makes pods. Afterwards closes them, and checks that no task failed and none is left."""
    before = asyncio.all_tasks()
    pods: list[Pod] = []

    def make(url: str, timeout: float = 10.0, probe_interval: float = 2.0, guard: Guard = TRUSTING) -> Pod:
        pods.append(Pod(url, timeout, probe_interval, guard))
        return pods[-1]

    yield make
    for pod in pods:
        await pod.bus.close()
    await asyncio.sleep(0)
    left = [task for task in asyncio.all_tasks() - before if task.get_name().startswith("redis_")]
    assert left == []
    assert [failure for pod in pods for failure in pod.tasks.failures] == []
