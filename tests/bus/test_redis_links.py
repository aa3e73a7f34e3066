"""A link that fails by a bug is started again, and nothing of the run before is left."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from forestay.bus.redis.client.address import Address, HostPort, parse_address
from forestay.bus.redis.client.command import Command, ErrorReply, Failure
from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.client.dial import Dialed, dial
from forestay.bus.redis.client.link import LinkState, NodeAccess
from forestay.bus.redis.client.pipeline import Pipeline
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.client.subscription import PLAIN
from forestay.bus.redis.topology import discovery
from forestay.bus.redis.topology.cluster import Shares, read_shares
from tests.bus.redis_pod import NewPod, until
from tests.support.local_redis import Cluster, RedisServer
from tests.support.tasks import PlainTasks, TaskFailure


class Owner:
    """The owner of a pipeline. Calls `hook` with each new connection, after which it may raise."""

    def __init__(self, hook: Callable[[], None]) -> None:
        self._hook = hook
        self.down: list[str] = []

    def pipeline_up(self, incarnation: bytes) -> None:
        self._hook()

    def pipeline_down(self, reason: str) -> None:
        self.down.append(reason)

    def redirected(self, pipeline: Pipeline, commands: Sequence[tuple[Command, ErrorReply]]) -> None: ...


class Bug:
    """Raises KeyError the first time that it is called."""

    def __init__(self) -> None:
        self.error: KeyError | None = None

    def __call__(self) -> None:
        if self.error is None:
            self.error = KeyError("a bug")
            raise self.error


@pytest.fixture
def tasks() -> PlainTasks:
    return PlainTasks()


NewPipeline = Callable[..., Pipeline]


@pytest.fixture
async def new_pipeline(own_redis: RedisServer, tasks: PlainTasks) -> AsyncIterator[NewPipeline]:
    """Makes pipelines to a Redis, with a function that is called before each dial."""
    address = parse_address(own_redis.url)
    pipelines: list[Pipeline] = []

    def make(owner: Owner, before_dial: Callable[[], None] = lambda: None) -> Pipeline:
        async def dial_after_hook() -> Dialed:
            before_dial()
            return await dial(address, address.hosts[0], 5)

        access = NodeAccess(address.hosts[0], dial_after_hook, tasks, 5, PLAIN)
        pipelines.append(Pipeline(access, owner, Report(lambda _: None)))
        return pipelines[-1]

    yield make
    for pipeline in pipelines:
        await pipeline.close()


async def ping(pipeline: Pipeline) -> object:
    """The reply to a PING, or its failure."""
    reply: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    pipeline.offer(Command(pack("PING"), reply.set_result, 0))
    return await reply


async def test_a_link_whose_dial_raises_is_started_again(new_pipeline: NewPipeline, tasks: PlainTasks) -> None:
    """A command that waits for the failing dial is refused, and the next run of the link connects."""
    bug = Bug()
    pipeline = new_pipeline(Owner(lambda: None), bug)
    pipeline.start()
    assert await ping(pipeline) is Failure.REFUSED
    assert pipeline.link.state is LinkState.DOWN
    await until(lambda: pipeline.up)
    assert await ping(pipeline) == b"PONG"
    assert tasks.failures == [TaskFailure("redis_link", bug.error)]


async def test_a_link_drops_its_connection_when_it_fails(
    new_pipeline: NewPipeline, tasks: PlainTasks, own_redis: RedisServer
) -> None:
    """After a bug in a callback the old connection is closed, its commands are settled, and a new one works."""
    bug = Bug()
    owner = Owner(bug)
    pipeline = new_pipeline(owner)
    pipeline.start()
    assert await ping(pipeline) is Failure.REFUSED
    await until(lambda: pipeline.up)
    assert await ping(pipeline) == b"PONG"
    assert owner.down == ["the link stopped"]
    assert tasks.failures == [TaskFailure("redis_link", bug.error)]
    # One connection is the pipeline's, the other asks.
    await until(lambda: "connected_clients:2" in own_redis.text("INFO", "clients"))


async def test_a_discovery_that_fails_is_started_again(
    cluster: Cluster, new_pod: NewPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bug in the first look at a Cluster the next run of discovery finds the nodes."""
    bug = Bug()

    async def read_shares_after_bug(address: Address, hosts: Sequence[HostPort]) -> Shares:
        bug()
        return await read_shares(address, hosts)

    monkeypatch.setattr(discovery, "read_shares", read_shares_after_bug)
    pod = new_pod(cluster.url)
    await pod.bus.start()
    await until(lambda: pod.bus.up)
    assert pod.tasks.failures == [TaskFailure("redis_discovery", bug.error)]
    pod.tasks.failures.clear()
