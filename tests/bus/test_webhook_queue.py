"""The contract of the WebhookQueue port, tested with each queue: how events get in, and what pods do with them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.bus.memory.registry import MemoryRegistry, RegistryState
from forestay.bus.memory.webhooks import MemoryEvents, MemoryWebhooks
from forestay.bus.redis.bus import BusLimits, RedisBus
from forestay.bus.redis.event_scripts import GROUP
from forestay.bus.redis.guard import Guard
from forestay.bus.redis.registry import RedisRegistry
from forestay.bus.redis.signatures import Signer
from forestay.bus.redis.webhooks import RedisWebhooks
from forestay.core.ports.bus import Bus, Outcome, Settlement
from forestay.core.ports.registry import Registry
from forestay.core.ports.webhooks import EventBounds, QueuedEvent, WebhookQueue
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.presence import Member
from forestay.protocol.webhooks import WebhookEvent, encode_event, field
from tests.support.gateway import PATIENCE
from tests.support.local_redis import RedisServer, rights
from tests.support.tasks import PlainTasks

ROOM, OTHER = RoomName("told.a"), RoomName("told.b")
LEASE = 3600.0
"""Longer than any test, so that nothing comes a second time because the machine stood still, or set its clock."""
BOUNDS = EventBounds(1600, 2**20 * 16, "the receiver")
"""On a Cluster each partition has a sixteenth."""


def event(id: str, type: str = "message") -> bytes:
    return encode_event(WebhookEvent(id, type, "2026-11-30T08:16:44.512Z", {"room": field("told.a")}))


@dataclass
class Pod:
    bus: Bus
    registry: Registry
    queue: WebhookQueue
    share: int = 1
    """The part of a bound that one room has."""

    async def publish(
        self, id: str, kept: Retention | None = None, key: str | None = None, room: RoomName = ROOM
    ) -> Settlement:
        settled: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()
        message = Message(room, b"1", "now", "ada")
        self.bus.publish(message, settled.set_result, kept=kept, key=key, told=event(id))
        return await settled

    async def put(self, user: str, connections: int, id: str, room: RoomName = ROOM) -> Outcome:
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.registry.put(Member(user, connections), room, None, settled.set_result, event(id))
        return await settled

    async def take(self, most: int = 100) -> Sequence[QueuedEvent]:
        async with asyncio.timeout(PATIENCE):
            return await self.queue.take(most)

    async def takes(self, number: int) -> list[QueuedEvent]:
        """So many events, also those that no pod has noticed yet."""
        found: list[QueuedEvent] = []
        while len(found) < number:
            await self.queue.backlog()
            found += await self.take()
        assert len(found) == number
        return found

    async def takes_nothing(self, seconds: float = 0.2) -> None:
        await self.queue.backlog()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.queue.take(1)


class NewPod:
    """Makes pods that share one queue, and lets time pass for what is in it."""

    def __init__(self, url: str, servers: Sequence[RedisServer], prefix: str, share: int) -> None:
        """`servers`: those that keep the queue. With an empty `url` it is in memory."""
        self._url = url
        self._servers = servers
        self._prefix = prefix
        self._share = share
        self._now = 1.75e9
        self._events = MemoryEvents(BOUNDS, lambda: self._now)
        self._exchange, self._state = Exchange(), RegistryState()
        self._buses: list[Bus] = []

    async def __call__(self, name: str, bounds: EventBounds = BOUNDS) -> Pod:
        if self._url:
            redis = RedisBus(
                self._url,
                limits=BusLimits(30, 5, bounds),
                observer=None,
                new_id=lambda: secrets.token_urlsafe(9),
                tasks=PlainTasks(),
            )
            queue = RedisWebhooks(name, redis, LEASE, lambda: 0.0)
            pod = Pod(redis, RedisRegistry(name, redis), queue, self._share)
        else:
            self._events.bounds = bounds
            memory = MemoryBus(self._exchange, self._events)
            pod = Pod(memory, MemoryRegistry(name, memory, self._state), MemoryWebhooks(self._events, LEASE))
        self._buses.append(pod.bus)
        await pod.bus.start()
        return pod

    def pass_time(self, seconds: float) -> None:
        """Let the queue see this time pass, without waiting for it."""
        self._now += seconds
        for server in self._servers:
            streams = server.do("KEYS", f"{self._prefix}:*:w:events")
            assert isinstance(streams, list)
            for stream in streams:
                taken = server.do("XPENDING", stream, GROUP, "-", "+", 1000)
                assert isinstance(taken, list)
                for id, pod, idle, _ in taken:
                    server.do("XCLAIM", stream, GROUP, pod, 0, id, "IDLE", idle + int(seconds * 1000), "JUSTID")

    async def close(self) -> None:
        for bus in self._buses:
            await bus.close()


@pytest.fixture(params=["memory", "redis", "valkey", "cluster"])
async def new_pod(request: pytest.FixtureRequest) -> AsyncIterator[NewPod]:
    """Makes pods that share one queue."""
    prefix = f"t{secrets.token_hex(6)}"
    url, servers, share = "", [], 1
    if request.param != "memory":
        server = request.getfixturevalue(request.param)
        url = f"{server.url}{'&' if '?' in server.url else '?'}prefix={prefix}"
        servers, share = (server.servers, 16) if request.param == "cluster" else ([server], 1)
    if request.param == "redis":
        # With the rights of the page, and no more.
        server.do("ACL", "SETUSER", prefix, "on", ">pw", *rights(prefix))
        url = url.replace("redis://", f"redis://{prefix}:pw@")
    new_pod = NewPod(url, servers, prefix, share)
    yield new_pod
    await new_pod.close()


def ids(found: Sequence[QueuedEvent]) -> list[str]:
    return [one.event.id for one in found]


async def test_a_message_and_its_event_come_together(new_pod: NewPod) -> None:
    """With its position where the room has history. A repeat by key tells nothing."""
    pod = await new_pod("one")
    kept = Retention(10, 60)
    await pod.publish("live")
    settlement = await pod.publish("kept", kept, "k")
    assert await pod.publish("again", kept, "k") == settlement
    found = await pod.takes(2)
    assert ids(found) == ["live", "kept"]
    assert settlement.position is not None
    assert "offset" not in found[0].event.data
    data = found[1].event.data
    assert (bytes(data["offset"]), bytes(data["epoch"])) == (b"1", f'"{settlement.position.epoch}"'.encode())
    assert found[0].event.sequence < found[1].event.sequence
    await pod.takes_nothing()


async def test_the_first_user_and_the_last_one_make_events(new_pod: NewPod) -> None:
    """On all pods together. What changes nothing tells nothing."""
    one, two = await new_pod("one"), await new_pod("two")
    await one.put("ada", 1, "occupied")
    await one.put("ada", 2, "no")
    await two.put("bob", 1, "no")
    await one.put("ada", 0, "no")
    await two.put("bob", 0, "vacated")
    await two.put("bob", 0, "no")
    assert ids(await one.take()) == ["occupied", "vacated"]
    await two.takes_nothing()


async def test_a_pod_that_is_reaped_vacates_its_rooms(new_pod: NewPod) -> None:
    """One event for each room that is empty then, and none for the others."""
    dead, alive = await new_pod("dead"), await new_pod("alive")
    await dead.put("ada", 1, "occupied a")
    await dead.put("bob", 1, "occupied b", OTHER)
    await alive.put("eve", 1, "no", OTHER)
    assert set(ids(await alive.takes(2))) == {"occupied a", "occupied b"}
    await alive.registry.reap("dead", lambda room: event(f"vacated {room}"))
    assert ids(await alive.takes(1)) == ["vacated told.a"]
    await alive.takes_nothing()


async def test_what_a_pod_took_and_holds_is_not_taken_by_another(new_pod: NewPod) -> None:
    """What it no longer holds is taken within the lease; what is done is gone."""
    one, two = await new_pod("one"), await new_pod("two")
    for id in "abc":
        await one.publish(id)
    handles = {found.event.id: found.handle for found in await one.take()}
    assert list(handles) == ["a", "b", "c"]
    await one.queue.done([handles["a"]])
    new_pod.pass_time(LEASE / 2)
    await one.queue.hold([handles["b"], handles["c"]])
    new_pod.pass_time(LEASE / 2)
    await two.takes_nothing()
    await one.queue.hold([handles["b"]])
    new_pod.pass_time(LEASE / 2)
    assert ids(await two.takes(1)) == ["c"]


async def test_what_is_given_back_is_taken_at_once(new_pod: NewPod) -> None:
    """By any pod."""
    one, two = await new_pod("one"), await new_pod("two")
    await one.publish("a")
    [taken] = await one.take()
    await one.queue.give_back([taken.handle])
    await two.queue.backlog()
    assert ids(await two.take()) == ["a"]


async def test_the_oldest_are_dropped_at_the_bound(new_pod: NewPod) -> None:
    """By number and by bytes, also those that a pod has taken. One pod learns how many, once."""
    for events, size in ((10, 2**20), (100, 10 * len(event("0") + b"-"))):
        share = (await new_pod("any")).share
        pod = await new_pod("one", EventBounds(events * share, size * share))
        for number in range(13):
            await pod.publish(f"{number % 10}")
        backlog = await pod.queue.backlog()
        assert (backlog.waiting, backlog.dropped) == (10, 3)
        assert (await pod.queue.backlog()).dropped == 0
        [oldest] = await pod.take(1)
        assert oldest.event.id == "3"
        await pod.queue.done([oldest.handle])
        while (await pod.queue.backlog()).waiting:
            await pod.queue.done([one.handle for one in await pod.take()])


async def test_dead_letters_are_kept_read_and_replayed(new_pod: NewPod) -> None:
    """In order, with the reason. A replay has the id and the sequence that the event had."""
    pod = await new_pod("one")
    for id in "abc":
        await pod.publish(id)
    taken = await pod.take()
    await pod.queue.set_aside([one.handle for one in taken], "status 500", 20)
    letters = await pod.queue.dead("", 10)
    assert [letter.event for letter in letters] == [one.event for one in taken]
    assert [(letter.reason, letter.attempts) for letter in letters] == [("status 500", 20)] * 3
    assert [letter.id for letter in await pod.queue.dead(letters[0].id, 1)] == [letters[1].id]
    backlog = await pod.queue.backlog()
    assert (backlog.waiting, backlog.dead) == (0, 3)
    assert await pod.queue.replay([letters[1].id]) == 1
    assert await pod.queue.replay([letters[1].id]) == 0
    assert [one.event for one in await pod.take()] == [taken[1].event]
    assert await pod.queue.forget([letters[0].id, letters[1].id]) == 1
    assert [letter.id for letter in await pod.queue.dead("", 10)] == [letters[2].id]


async def test_a_receiver_that_has_stopped_gets_no_more_events(new_pod: NewPod) -> None:
    """What waits stays. Another receiver gets events, and so does this one after `resume`."""
    pod = await new_pod("one")
    await pod.publish("before")
    await pod.queue.stop()
    await pod.publish("meanwhile")
    assert (await pod.queue.backlog()).stopped
    await pod.queue.resume()
    await pod.publish("after")
    found = await pod.takes(2)
    assert ids(found) == ["before", "after"]
    assert not (await pod.queue.backlog()).stopped
    await pod.queue.stop()
    other = await new_pod("two", EventBounds(1600, 2**24, "another receiver"))
    await other.publish("other")
    assert ids(await other.take()) == ["other"]


async def test_a_forged_event_is_dropped(redis: RedisServer) -> None:
    """With a secret only what a pod has sealed is delivered; the rest is removed."""
    prefix = f"t{secrets.token_hex(6)}"
    bus = RedisBus(
        f"{redis.url}?prefix={prefix}",
        limits=BusLimits(30, 5, BOUNDS),
        observer=None,
        new_id=lambda: secrets.token_urlsafe(9),
        tasks=PlainTasks(),
        guard=Guard(signer=Signer([b"x" * 32], lambda: 0.0, required=True)),
    )
    pod = Pod(bus, RedisRegistry("one", bus), RedisWebhooks("one", bus, LEASE, lambda: 0.0))
    await bus.start()
    await pod.publish("good")
    stream = f"{prefix}:{{0}}:w:events"
    for bad in (b"-" + event("forged"), b"s" + b"x" * 22 + event("forged"), b"", b"-garbage"):
        redis.do("XADD", stream, "*", "e", bad, "p", "")
    await pod.publish("also good")
    assert ids(await pod.take()) == ["good", "also good"]
    assert (await pod.queue.backlog()).waiting == 2
    await bus.close()
