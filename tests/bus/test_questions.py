"""A question leaves nothing on the bus, and the epoch that it tells is the one that the first message takes."""

import asyncio

import pytest

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.bus.redis.registry import RedisRegistry
from forestay.core.ports.bus import Bus, Outcome, Page, Query
from forestay.core.rules.policies import QUIET_TTL, Retention
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.bus.redis_pod import KEPT, NewPod, Pod
from tests.support.local_redis import RedisServer

UNUSED = RoomName("unused")


@pytest.fixture
async def pod(own_redis: RedisServer, new_pod: NewPod) -> Pod:
    """A pod that has sent its first heartbeat, as every pod has before its first client."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    await RedisRegistry("one", pod.bus).heartbeat(30)
    return pod


async def send(bus: Bus, room: RoomName, kept: Retention = KEPT) -> Position:
    settled: asyncio.Future[Position | None] = asyncio.get_running_loop().create_future()
    bus.publish(Message(room, b"1", "now", "ada"), lambda one: settled.set_result(one.position), kept=kept)
    position = await settled
    assert position
    return position


async def read(bus: Bus, since: Position | None = None) -> Page:
    return await bus.history(UNUSED, Query(10, since=since), KEPT)


async def test_questions_store_nothing_in_redis(own_redis: RedisServer, pod: Pod) -> None:
    """Whatever is asked about rooms and users that were never used, Redis has the same keys as before."""
    before = own_redis.do("KEYS", "*")
    registry = RedisRegistry("two", pod.bus)
    for number in range(2000):
        room = RoomName(f"unused.{number}")
        page = await pod.bus.history(room, Query(0), KEPT)
        for query in (Query(10), Query(10, since=page.top), Query(10, before=Position("another", 5))):
            await pod.bus.history(room, query, KEPT)
        await registry.presence_page(room, None, 10)
    await pod.bus.positions([RoomName(f"unused.{number}") for number in range(2000)])
    assert own_redis.do("KEYS", "*") == before


async def test_questions_store_nothing_in_memory() -> None:
    """The same holds on the memory bus."""
    exchange = Exchange()
    bus = MemoryBus(exchange)
    for number in range(100):
        room = RoomName(f"unused.{number}")
        page = await bus.history(room, Query(10), KEPT)
        await bus.history(room, Query(10, since=page.top), KEPT)
        await bus.positions([room])
    assert exchange._histories == {}


async def test_the_first_message_takes_the_epoch_that_a_question_told(own_redis: RedisServer, pod: Pod) -> None:
    """So a client that has joined an empty room resumes from there, and gets all messages. Each bus does this."""
    for bus in (pod.bus, MemoryBus(Exchange())):
        start = (await read(bus)).top
        assert (await read(bus, since=start)).whole
        assert await send(bus, UNUSED) == Position(start.epoch, 1)
        page = await read(bus, since=start)
        assert (page.whole, len(page.messages)) == (True, 1)


async def test_two_pods_tell_the_same_epoch(own_redis: RedisServer, pod: Pod, new_pod: NewPod) -> None:
    """Pods share nothing but Redis, and agree about a room that nobody has used."""
    other = new_pod(own_redis.url)
    await other.bus.start()
    assert (await read(pod.bus)).top == (await read(other.bus)).top


@pytest.mark.parametrize("forget", [("FLUSHALL",), ("DEL", "meta", "stream", "seed"), ("DEL", "meta")])
async def test_a_room_that_lost_its_keys_gets_another_epoch(
    own_redis: RedisServer, pod: Pod, forget: tuple[str, ...]
) -> None:
    """A flush or a lost epoch starts a new one: offsets are used again, and nobody takes the new ones for the old."""
    first = await send(pod.bus, UNUSED)
    names = pod.bus.keys.room(UNUSED)
    own_redis.do(forget[0], *(getattr(names, name) for name in forget[1:]))
    again = await send(pod.bus, UNUSED)
    assert again.offset == 1
    assert again.epoch != first.epoch
    assert not (await read(pod.bus, since=first)).whole


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_room_that_was_forgotten_gets_another_epoch_in_memory() -> None:
    """Epoch and offset expire a day after the entries; a later first message does not repeat them."""
    clock = Clock()
    bus = MemoryBus(Exchange(clock))
    await send(bus, RoomName("other"), Retention(10, 10 * QUIET_TTL))
    first = await send(bus, UNUSED)
    clock.now += KEPT.ttl + QUIET_TTL
    again = await send(bus, UNUSED)
    assert again.offset == first.offset
    assert again.epoch != first.epoch


async def test_an_empty_room_is_resumed_for_half_a_day(own_redis: RedisServer, pod: Pod) -> None:
    """The start of an empty room is whole in this half day and the next one, and then another epoch."""
    clock = Clock()
    memory = MemoryBus(Exchange(clock))

    def pass_half_a_day(bus: Bus) -> None:
        clock.now += QUIET_TTL / 2
        seed = pod.bus.keys.seed(0)
        since = own_redis.do("HGET", seed, "since")
        assert isinstance(since, bytes)
        own_redis.do("HSET", seed, "since", int(since) - int(QUIET_TTL / 2))

    for bus in (memory, pod.bus):
        start = (await read(bus)).top
        pass_half_a_day(bus)
        page = await read(bus, since=start)
        assert (page.whole, page.top) == (True, start)
        pass_half_a_day(bus)
        assert not (await read(bus, since=start)).whole


async def test_a_refused_message_leaves_an_empty_room_as_it_was(own_redis: RedisServer, pod: Pod) -> None:
    """Its epoch is still the one that was told."""
    start = (await read(pod.bus)).top
    own_redis.do("CONFIG", "SET", "maxmemory", "1")
    settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    pod.bus.publish(Message(UNUSED, b"1", "now"), lambda one: settled.set_result(one.outcome), kept=KEPT)
    assert await settled is Outcome.REFUSED
    assert (await read(pod.bus)).top == start
