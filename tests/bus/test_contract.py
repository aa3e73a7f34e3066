"""What every bus promises, asked of each of them in the same words."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

import pytest

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.bus.redis.bus import RedisBus
from forestay.core.ports.bus import Bus, Outcome, Page, Query, Settlement
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName, personal_room
from forestay.protocol.trace import parse_trace
from tests.support.local_redis import Road, rights
from tests.support.tasks import PlainTasks

ROOM = RoomName("chat.lobby")
OTHER = RoomName("chat.garden")
KEPT = Retention(size=10, ttl=60.0)


class Pod:
    """One end of the bus, and what came out of it."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.heard: list[Message] = []
        self.doubted: list[RoomName] = []
        bus.listen(self.heard.append, self._doubt)

    def _doubt(self, rooms: Collection[RoomName]) -> None:
        self.doubted.extend(rooms)

    async def subscribe(self, room: RoomName = ROOM) -> None:
        confirmed = asyncio.Event()
        self.bus.subscribe(room, confirmed.set)
        await confirmed.wait()

    async def publish(self, message: Message, kept: Retention | None = None, key: str | None = None) -> Settlement:
        settlement: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()
        self.bus.publish(message, settlement.set_result, kept=kept, key=key)
        return await settlement

    async def say(self, *words: str, room: RoomName = ROOM, kept: Retention | None = KEPT) -> list[Position]:
        positions = [(await self.publish(message(word, room), kept)).position for word in words]
        return [position for position in positions if position]

    async def hears(self, *words: str) -> None:
        """Wait until exactly these came, in this order."""
        while len(self.heard) < len(words):
            await asyncio.sleep(0.005)
        assert self.words == list(words)

    @property
    def words(self) -> list[str]:
        return [message.payload.decode() for message in self.heard]


NewPod = Callable[[], Awaitable[Pod]]


@pytest.fixture(params=["memory", "redis", "tls", "sentinel", "cluster", "container"])
async def new_pod(request: pytest.FixtureRequest) -> AsyncIterator[NewPod]:
    """Makes pods that share a bus of each kind, in a corner of its own."""
    exchange, prefix = Exchange(), f"t{secrets.token_hex(6)}"
    url, road = "", None
    if request.param != "memory":
        server = request.getfixturevalue(request.param)
        url = f"{server.url}?prefix={prefix}"
    if request.param == "sentinel":
        url += "&master=main"
    if request.param == "tls":
        # A stranger in the network hears nothing, and the pod's own user reaches nothing but the pod's.
        authority = request.getfixturevalue("authority")
        server.do("ACL", "SETUSER", prefix, "on", ">pw", *rights(prefix))
        road = Road(server.port, authority.tls())
        await road.open()
        url = f"rediss://{prefix}:pw@127.0.0.1:{road.port}?prefix={prefix}&ca={authority.ca}"
    pods: list[Pod] = []

    async def make() -> Pod:
        bus: Bus = MemoryBus(exchange) if not url else redis_bus(url)
        pods.append(Pod(bus))
        await bus.start()
        return pods[-1]

    yield make
    for pod in pods:
        await pod.bus.close()
    if road is not None:
        await road.close()


def redis_bus(url: str) -> RedisBus:
    return RedisBus(
        url, timeout=5, probe_interval=5, observer=None, new_id=lambda: secrets.token_urlsafe(9), tasks=PlainTasks()
    )


def message(word: str, room: RoomName = ROOM, sender: str | None = "ada") -> Message:
    return Message(room, word.encode(), "2026-11-22T12:00:00.123Z", sender)


def words(page: Page) -> list[str]:
    return [message.payload.decode() for message in page.messages]


async def test_every_pod_hears_the_same_in_the_same_order(new_pod: NewPod) -> None:
    """Two pods talk at once; both hear both, and neither order nor number differ."""
    one, two = await new_pod(), await new_pod()
    await asyncio.gather(one.subscribe(), two.subscribe())
    for number in range(200):
        one.bus.publish(message(f"one {number}"), kept=KEPT if number % 2 else None)
        two.bus.publish(message(f"two {number}"))
        if number % 10 == 0:
            await asyncio.sleep(0)
    while len(one.heard) < 400 or len(two.heard) < 400:
        await asyncio.sleep(0.005)
    assert one.words == two.words
    assert [word for word in one.words if word[:3] == "one"] == [f"one {number}" for number in range(200)]
    assert [word for word in one.words if word[:3] == "two"] == [f"two {number}" for number in range(200)]


async def test_everything_of_a_message_arrives(new_pod: NewPod) -> None:
    """What the sender's pod knew about a message, the hearing pod knows."""
    pod = await new_pod()
    trace = parse_trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")
    sent = Message(ROOM, b"\0\0\0\1\xff", "2026-11-22T12:00:00.123Z", "ädä", binary=True, exclude="c1", trace=trace)
    await pod.subscribe()
    settlement = await pod.publish(sent)
    while not pod.heard:
        await asyncio.sleep(0.005)
    assert settlement == Settlement(Outcome.ACCEPTED)
    assert pod.heard == [sent]


async def test_what_is_accepted_after_the_confirmation_is_heard(new_pod: NewPod) -> None:
    """A publish by another pod at the very moment of the confirmation is not missed."""
    sender, listener = await new_pod(), await new_pod()
    for number in range(20):
        room = RoomName(f"room{number}")
        listener.bus.subscribe(room, lambda room=room: sender.bus.publish(message("hello", room)))  # type: ignore[misc]
    await listener.hears(*["hello"] * 20)


async def test_a_room_that_was_not_subscribed_is_not_heard(new_pod: NewPod) -> None:
    """Rooms do not mix."""
    pod = await new_pod()
    await pod.subscribe(ROOM)
    await pod.say("elsewhere", room=OTHER)
    await pod.say("here")
    await pod.hears("here")


async def test_after_unsubscribing_nothing_is_heard(new_pod: NewPod) -> None:
    """A later subscription hears again, and not what was said in between."""
    pod = await new_pod()
    await pod.subscribe()
    await pod.say("one")
    await pod.hears("one")
    pod.bus.unsubscribe(ROOM)
    await pod.say("two")
    await pod.subscribe()
    await pod.say("three")
    await pod.hears("one", "three")


async def test_a_place_in_the_history_is_the_same_for_all(new_pod: NewPod) -> None:
    """Offsets are dense from 1, and what the sender is told is what is heard and what is read later."""
    pod = await new_pod()
    await pod.subscribe()
    told = await pod.say("a", "b", "c")
    await pod.hears("a", "b", "c")
    page = await pod.bus.history(ROOM, Query(10), KEPT)
    assert [position.offset for position in told] == [1, 2, 3]
    assert len({position.epoch for position in told}) == 1
    assert [heard.position for heard in pod.heard] == told
    assert page.messages == pod.heard
    assert page.top == told[-1]


async def test_live_messages_have_no_place(new_pod: NewPod) -> None:
    """A message that is not kept neither gets a position nor takes one."""
    pod = await new_pod()
    first = await pod.publish(message("kept"), KEPT)
    live = await pod.publish(message("live"))
    second = await pod.publish(message("kept"), KEPT)
    assert live.position is None
    assert first.position
    assert second.position
    assert second.position.offset == first.position.offset + 1


async def test_the_newest_are_read_without_a_bound(new_pod: NewPod) -> None:
    """Ascending, cut at the limit, and saying whether there are more."""
    pod = await new_pod()
    await pod.say("a", "b", "c")
    read = pod.bus.history
    cut, all_of_it = await read(ROOM, Query(2), KEPT), await read(ROOM, Query(3), KEPT)
    assert (words(cut), cut.whole, cut.more) == (["b", "c"], True, True)
    assert (words(all_of_it), all_of_it.whole, all_of_it.more) == (["a", "b", "c"], True, False)


async def test_a_limit_of_nothing_reads_the_top(new_pod: NewPod) -> None:
    """Where a room stands can be asked without reading it; a room nobody spoke in gets its epoch by that."""
    pod = await new_pod()
    empty = await pod.bus.history(ROOM, Query(0), KEPT)
    [position] = await pod.say("a")
    page = await pod.bus.history(ROOM, Query(0), KEPT)
    assert (empty.top, empty.more) == (Position(position.epoch, 0), False)
    assert (page.top, words(page), page.more) == (position, [], True)


async def test_after_a_position_comes_what_was_missed(new_pod: NewPod) -> None:
    """From the oldest on, and whole while nothing between is gone."""
    pod = await new_pod()
    told = await pod.say(*"abcdef")
    read = pod.bus.history
    page = await read(ROOM, Query(2, since=told[1]), KEPT)
    rest = await read(ROOM, Query(10, since=told[3]), KEPT)
    nothing = await read(ROOM, Query(10, since=told[5]), KEPT)
    assert (words(page), page.whole, page.more) == (["c", "d"], True, True)
    assert (words(rest), rest.whole, rest.more) == (["e", "f"], True, False)
    assert (words(nothing), nothing.whole, nothing.more) == ([], True, False)


async def test_before_a_position_comes_what_was_earlier(new_pod: NewPod) -> None:
    """The newest of them, ascending."""
    pod = await new_pod()
    told = await pod.say(*"abcdef")
    read = pod.bus.history
    page = await read(ROOM, Query(2, before=told[4]), KEPT)
    rest = await read(ROOM, Query(10, before=told[2]), KEPT)
    nothing = await read(ROOM, Query(10, before=told[0]), KEPT)
    assert (words(page), page.more) == (["c", "d"], True)
    assert (words(rest), rest.more) == (["a", "b"], False)
    assert (words(nothing), nothing.more) == ([], False)


async def test_a_foreign_epoch_is_no_place_in_this_history(new_pod: NewPod) -> None:
    """After it starts at the oldest kept and is not whole; before it is the newest."""
    pod = await new_pod()
    await pod.say(*"abc")
    foreign = Position("another", 2)
    after = await pod.bus.history(ROOM, Query(2, since=foreign), KEPT)
    before = await pod.bus.history(ROOM, Query(2, before=foreign), KEPT)
    assert (words(after), after.whole, after.more) == (["a", "b"], False, True)
    assert (words(before), before.more) == (["b", "c"], True)


async def test_a_position_from_the_future_is_not_whole(new_pod: NewPod) -> None:
    """Nobody can have seen more than there was."""
    pod = await new_pod()
    [told] = await pod.say("a")
    for offset in (2, 1000, 2**60, 2**70):
        page = await pod.bus.history(ROOM, Query(5, since=Position(told.epoch, offset)), KEPT)
        assert (words(page), page.whole, page.more) == ([], False, False)


async def test_trimmed_entries_are_admitted(new_pod: NewPod) -> None:
    """Ten of eleven is not whole."""
    pod = await new_pod()
    told = await pod.say(*"abcdefghijkl")
    page = await pod.bus.history(ROOM, Query(20, since=told[0]), KEPT)
    edge = await pod.bus.history(ROOM, Query(20, since=told[1]), KEPT)
    assert (words(page), page.whole) == (list("cdefghijkl"), False)
    assert (words(edge), edge.whole) == (list("cdefghijkl"), True)


async def test_entries_expire_and_the_position_stays(new_pod: NewPod) -> None:
    """Whoever comes back learns that there was something: the offset goes on, in the same epoch."""
    pod = await new_pod()
    short = Retention(size=10, ttl=0.05)
    told = await pod.say("a", "b", kept=short)
    await asyncio.sleep(0.1)
    page = await pod.bus.history(ROOM, Query(10, since=told[0]), short)
    quiet = await pod.bus.history(ROOM, Query(10, since=told[1]), short)
    [after] = await pod.say("c", kept=short)
    assert (words(page), page.whole, page.top) == ([], False, told[1])
    assert quiet.whole
    assert after == Position(told[0].epoch, 3)


async def test_random_questions_are_answered_as_by_the_reference(new_pod: NewPod) -> None:
    """Offsets, wholeness and more, for bounds of all kinds."""
    pod, reference = await new_pod(), Pod(MemoryBus(Exchange()))
    rng = random.Random(7)
    await pod.say(*map(str, range(17)))
    await reference.say(*map(str, range(17)))
    ours = (await pod.bus.history(ROOM, Query(0), KEPT)).top.epoch
    theirs = (await reference.bus.history(ROOM, Query(0), KEPT)).top.epoch
    for _ in range(300):
        limit, offset, foreign = rng.randrange(20), rng.randrange(-2, 22), rng.random() < 0.2
        side = rng.choice(("since", "before"))

        def query(epoch: str) -> Query:
            return Query(limit, **{side: Position("foreign" if foreign else epoch, offset)})  # noqa: B023

        found, expected = (
            await pod.bus.history(ROOM, query(ours), KEPT),
            await reference.bus.history(ROOM, query(theirs), KEPT),
        )
        asked = (limit, side, offset, foreign)
        assert (words(found), found.whole, found.more, found.top.offset) == (
            words(expected),
            expected.whole,
            expected.more,
            expected.top.offset,
        ), asked


async def test_the_same_key_publishes_once(new_pod: NewPod) -> None:
    """The second time is settled as the first, also by another pod, and nobody hears it."""
    one, two = await new_pod(), await new_pod()
    await one.subscribe()
    first = await one.publish(message("a"), KEPT, key="k")
    await one.say("between")
    again = await two.publish(message("a"), KEPT, key="k")
    await one.say("end")
    await one.hears("a", "between", "end")
    assert again == first
    assert first.outcome is Outcome.ACCEPTED
    assert first.position
    assert first.position.offset == 1


async def test_a_key_is_its_senders_and_its_rooms(new_pod: NewPod) -> None:
    """Somebody else's, or elsewhere, it is another key; all backends are one sender, whom no user can be."""
    pod = await new_pod()
    said = [
        await pod.publish(message("x", room, sender), KEPT, key=key)
        for room, sender, key in (
            (ROOM, "ada", "k"),
            (ROOM, "bob", "k"),
            (ROOM, None, "k"),
            (ROOM, "", "k"),
            (ROOM, "ada", "l"),
            (OTHER, "ada", "k"),
            (ROOM, None, "k"),
        )
    ]
    offsets = [settlement.position.offset for settlement in said if settlement.position]
    assert offsets == [1, 2, 3, 4, 5, 1, 3]


async def test_positions_of_many_rooms_are_asked_at_once(new_pod: NewPod) -> None:
    """Rooms that nobody ever spoke in are left out."""
    pod = await new_pod()
    rooms = [RoomName(f"room.{number}") for number in range(1300)]
    for number, room in enumerate(rooms):
        for _ in range(number % 3):
            pod.bus.publish(message("x", room), kept=KEPT)
    [last] = await pod.say("y", room=rooms[-1])
    found = await pod.bus.positions(rooms)
    assert {room: position.offset for room, position in found.items()} == {
        room: number % 3 + (room == rooms[-1]) for number, room in enumerate(rooms) if number % 3 or room == rooms[-1]
    }
    assert found[rooms[-1]] == last
    assert await pod.bus.positions([]) == {}


async def test_a_user_may_be_called_anything(new_pod: NewPod) -> None:
    """Personal rooms do not meet, whatever is in a name."""
    pod = await new_pod()
    users = ["a", "a:b", "a b", "{a}", "a\r\nPUBLISH", "ä", "A", "*", "a" * 1000, "\0"]
    rooms = [personal_room(user) for user in users]
    for room in rooms:
        await pod.subscribe(room)
    for user, room in zip(users, rooms, strict=True):
        pod.bus.publish(message(user, room))
    while len(pod.heard) < len(users):
        await asyncio.sleep(0.005)
    # Between rooms there is no order.
    assert sorted((heard.payload.decode(), heard.room) for heard in pod.heard) == sorted(zip(users, rooms, strict=True))


async def test_a_closed_bus_refuses(new_pod: NewPod) -> None:
    """What comes after the end is not accepted."""
    pod = await new_pod()
    await pod.bus.close()
    assert (await pod.publish(message("late"))).outcome is Outcome.REFUSED
    assert (await pod.publish(message("late"), KEPT)).outcome is Outcome.REFUSED
