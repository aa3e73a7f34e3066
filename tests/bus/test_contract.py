"""The contract of the Bus port, tested with every bus."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.bus.redis.bus import BusLimits, RedisBus
from forestay.core.ports.bus import Bus, Cause, Forgotten, Outcome, Page, Query, Settlement
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName, personal_room
from forestay.protocol.position import Position
from forestay.protocol.trace import parse_trace
from tests.support.local_redis import Road, rights
from tests.support.messages import changed
from tests.support.subscriber import FunctionSubscriber
from tests.support.tasks import PlainTasks

ROOM = RoomName("chat.lobby")
OTHER = RoomName("chat.garden")
KEPT = Retention(size=10, ttl=60.0)


class Pod:
    """The bus of one pod, and everything that it has called back."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.heard: list[Message] = []
        self.doubted: list[RoomName] = []

    async def subscribe(self, room: RoomName = ROOM) -> None:
        confirmed = asyncio.Event()
        subscriber = FunctionSubscriber(confirmed.set, self.heard.append, lambda: self.doubted.append(room))
        self.bus.subscribe(room, subscriber)
        await confirmed.wait()

    async def publish(self, message: Message, kept: Retention | None = None, key: str | None = None) -> Settlement:
        settlement: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()
        self.bus.publish(message, settlement.set_result, kept=kept, key=key)
        return await settlement

    async def send(self, *texts: str, room: RoomName = ROOM, kept: Retention | None = KEPT) -> list[Position]:
        positions = [(await self.publish(message(text, room), kept)).position for text in texts]
        return [position for position in positions if position]

    async def hears(self, *texts: str) -> None:
        """Wait until exactly these texts came, in this order."""
        while len(self.heard) < len(texts):
            await asyncio.sleep(0.005)
        assert self.texts == list(texts)

    @property
    def texts(self) -> list[str]:
        return [message.payload.decode() for message in self.heard]


NewPod = Callable[[], Awaitable[Pod]]


@pytest.fixture(params=["memory", "redis", "valkey", "tls", "sentinel", "cluster", "container"])
async def new_pod(request: pytest.FixtureRequest) -> AsyncIterator[NewPod]:
    """Makes pods that share a bus of each kind, with a prefix of their own."""
    exchange, prefix = Exchange(), f"t{secrets.token_hex(6)}"
    url, road = "", None
    if request.param != "memory":
        server = request.getfixturevalue(request.param)
        url = f"{server.url}?prefix={prefix}"
    if request.param == "sentinel":
        url += "&master=main"
    if request.param == "tls":
        # The user of Redis may use nothing but the keys and channels of the pods.
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
        url, limits=BusLimits(30, 5), observer=None, new_id=lambda: secrets.token_urlsafe(9), tasks=PlainTasks()
    )


def message(text: str, room: RoomName = ROOM, sender: str | None = "ada") -> Message:
    return Message(room, text.encode(), "2026-11-22T12:00:00.123Z", sender)


def texts(page: Page) -> list[str]:
    return [message.payload.decode() for message in page.messages]


async def test_every_pod_hears_the_same_in_the_same_order(new_pod: NewPod) -> None:
    """Two pods publish at once; both hear all messages, in the same order."""
    one, two = await new_pod(), await new_pod()
    await asyncio.gather(one.subscribe(), two.subscribe())
    for number in range(200):
        one.bus.publish(message(f"one {number}"), kept=KEPT if number % 2 else None)
        two.bus.publish(message(f"two {number}"))
        if number % 10 == 0:
            await asyncio.sleep(0)
    while len(one.heard) < 400 or len(two.heard) < 400:
        await asyncio.sleep(0.005)
    assert one.texts == two.texts
    assert [text for text in one.texts if text[:3] == "one"] == [f"one {number}" for number in range(200)]
    assert [text for text in one.texts if text[:3] == "two"] == [f"two {number}" for number in range(200)]


async def test_every_field_of_a_message_arrives(new_pod: NewPod) -> None:
    """The receiving pod gets every field of a message."""
    pod = await new_pod()
    trace = parse_trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b")
    sent = Message(ROOM, b"\0\0\0\1\xff", "2026-11-22T12:00:00.123Z", "ädä", binary=True, exclude="c1", trace=trace)
    await pod.subscribe()
    settlement = await pod.publish(sent)
    while not pod.heard:
        await asyncio.sleep(0.005)
    assert settlement == Settlement(Outcome.ACCEPTED)
    assert pod.heard == [sent]
    event = changed(message('["QUJD"]'), event="chat message", binary_at="1:6")
    settlement = await pod.publish(event, kept=KEPT)
    page = await pod.bus.history(ROOM, Query(10), KEPT)
    while len(pod.heard) < 2:
        await asyncio.sleep(0.005)
    assert pod.heard[1:] == list(page.messages) == [changed(event, position=settlement.position)]


async def test_messages_after_the_confirmation_are_heard(new_pod: NewPod) -> None:
    """A publish by another pod at the moment of the confirmation is not missed."""
    sender, listener = await new_pod(), await new_pod()
    for number in range(20):
        room = RoomName(f"room{number}")
        greet = partial(sender.bus.publish, message("hello", room))
        listener.bus.subscribe(room, FunctionSubscriber(greet, listener.heard.append))
    await listener.hears(*["hello"] * 20)


async def test_a_room_that_was_not_subscribed_is_not_heard(new_pod: NewPod) -> None:
    """A pod gets only messages of rooms to which it has subscribed."""
    pod = await new_pod()
    await pod.subscribe(ROOM)
    await pod.send("elsewhere", room=OTHER)
    await pod.send("here")
    await pod.hears("here")


async def test_after_unsubscribing_nothing_is_heard(new_pod: NewPod) -> None:
    """After an unsubscription nothing arrives, and a later subscription brings nothing from in between."""
    pod = await new_pod()
    await pod.subscribe()
    await pod.send("one")
    await pod.hears("one")
    pod.bus.unsubscribe(ROOM)
    await pod.send("two")
    await pod.subscribe()
    await pod.send("three")
    await pod.hears("one", "three")


async def test_a_position_is_the_same_everywhere(new_pod: NewPod) -> None:
    """Offsets start at 1 without a gap; sender, subscribers and history have the same positions."""
    pod = await new_pod()
    await pod.subscribe()
    sent = await pod.send("a", "b", "c")
    await pod.hears("a", "b", "c")
    page = await pod.bus.history(ROOM, Query(10), KEPT)
    assert [position.offset for position in sent] == [1, 2, 3]
    assert len({position.epoch for position in sent}) == 1
    assert [heard.position for heard in pod.heard] == sent
    assert page.messages == pod.heard
    assert page.top == sent[-1]


async def test_messages_outside_the_history_have_no_position(new_pod: NewPod) -> None:
    """A message that is not kept neither gets a position nor uses one."""
    pod = await new_pod()
    first = await pod.publish(message("kept"), KEPT)
    live = await pod.publish(message("live"))
    second = await pod.publish(message("kept"), KEPT)
    assert live.position is None
    assert first.position
    assert second.position
    assert second.position.offset == first.position.offset + 1


async def test_the_newest_are_read_without_a_bound(new_pod: NewPod) -> None:
    """The newest messages come in ascending order, up to the limit, with a flag for more."""
    pod = await new_pod()
    await pod.send("a", "b", "c")
    read = pod.bus.history
    cut, all_of_it = await read(ROOM, Query(2), KEPT), await read(ROOM, Query(3), KEPT)
    assert (texts(cut), cut.whole, cut.more) == (["b", "c"], True, True)
    assert (texts(all_of_it), all_of_it.whole, all_of_it.more) == (["a", "b", "c"], True, False)


async def test_a_limit_of_zero_reads_the_top(new_pod: NewPod) -> None:
    """A limit of 0 reads only the position of a room; a room without messages gets its epoch by that."""
    pod = await new_pod()
    empty = await pod.bus.history(ROOM, Query(0), KEPT)
    [position] = await pod.send("a")
    page = await pod.bus.history(ROOM, Query(0), KEPT)
    assert (empty.top, empty.more) == (Position(position.epoch, 0), False)
    assert (page.top, texts(page), page.more) == (position, [], True)


async def test_messages_after_a_position_are_read(new_pod: NewPod) -> None:
    """They come from the oldest on, and the page is whole if none of them is gone."""
    pod = await new_pod()
    sent = await pod.send(*"abcdef")
    read = pod.bus.history
    page = await read(ROOM, Query(2, since=sent[1]), KEPT)
    rest = await read(ROOM, Query(10, since=sent[3]), KEPT)
    nothing = await read(ROOM, Query(10, since=sent[5]), KEPT)
    assert (texts(page), page.whole, page.more) == (["c", "d"], True, True)
    assert (texts(rest), rest.whole, rest.more) == (["e", "f"], True, False)
    assert (texts(nothing), nothing.whole, nothing.more) == ([], True, False)


async def test_messages_before_a_position_are_read(new_pod: NewPod) -> None:
    """The newest of them come, in ascending order."""
    pod = await new_pod()
    sent = await pod.send(*"abcdef")
    read = pod.bus.history
    page = await read(ROOM, Query(2, before=sent[4]), KEPT)
    rest = await read(ROOM, Query(10, before=sent[2]), KEPT)
    nothing = await read(ROOM, Query(10, before=sent[0]), KEPT)
    assert (texts(page), page.more) == (["c", "d"], True)
    assert (texts(rest), rest.more) == (["a", "b"], False)
    assert (texts(nothing), nothing.more) == ([], False)


async def test_a_position_of_another_epoch_is_not_in_the_history(new_pod: NewPod) -> None:
    """A page after it starts at the oldest message and is not whole; a page before it has the newest."""
    pod = await new_pod()
    await pod.send(*"abc")
    foreign = Position("another", 2)
    after = await pod.bus.history(ROOM, Query(2, since=foreign), KEPT)
    before = await pod.bus.history(ROOM, Query(2, before=foreign), KEPT)
    assert (texts(after), after.whole, after.more) == (["a", "b"], False, True)
    assert (texts(before), before.more) == (["b", "c"], True)


async def test_a_page_after_a_future_position_is_not_whole(new_pod: NewPod) -> None:
    """A page after an offset that does not exist yet is empty and not whole."""
    pod = await new_pod()
    [sent] = await pod.send("a")
    for offset in (2, 1000, 2**60, 2**70):
        page = await pod.bus.history(ROOM, Query(5, since=Position(sent.epoch, offset)), KEPT)
        assert (texts(page), page.whole, page.more) == ([], False, False)


async def test_a_page_without_trimmed_messages_is_not_whole(new_pod: NewPod) -> None:
    """A page is not whole if the limit of the history has removed a message after the position."""
    pod = await new_pod()
    sent = await pod.send(*"abcdefghijkl")
    page = await pod.bus.history(ROOM, Query(20, since=sent[0]), KEPT)
    edge = await pod.bus.history(ROOM, Query(20, since=sent[1]), KEPT)
    assert (texts(page), page.whole) == (list("cdefghijkl"), False)
    assert (texts(edge), edge.whole) == (list("cdefghijkl"), True)


async def test_entries_expire_and_the_position_stays(new_pod: NewPod) -> None:
    """When entries expire, epoch and offset go on, and a page that misses entries is not whole."""
    pod = await new_pod()
    short = Retention(size=10, ttl=0.05)
    sent = await pod.send("a", "b", kept=short)
    await asyncio.sleep(0.1)
    page = await pod.bus.history(ROOM, Query(10, since=sent[0]), short)
    quiet = await pod.bus.history(ROOM, Query(10, since=sent[1]), short)
    [after] = await pod.send("c", kept=short)
    assert (texts(page), page.whole, page.top) == ([], False, sent[1])
    assert quiet.whole
    assert after == Position(sent[0].epoch, 3)


async def test_a_page_ends_where_its_budget_does(new_pod: NewPod) -> None:
    """A page has the messages that fit into `max_bytes`, the newest ones or those after a position, and says more."""
    pod = await new_pod()
    wide = Retention(size=200, ttl=60)
    sent = await pod.send(*(f"{number:03}" + "x" * 1000 for number in range(60)), kept=wide)
    read = pod.bus.history
    newest = await read(ROOM, Query(50, max_bytes=10_500), wide)
    after = await read(ROOM, Query(50, since=sent[4], max_bytes=30_500), wide)
    before = await read(ROOM, Query(50, before=sent[20], max_bytes=10_500), wide)
    assert [text[:3] for text in texts(newest)] == [f"{number:03}" for number in range(60 - len(newest.messages), 60)]
    assert [text[:3] for text in texts(after)] == [f"{5 + at:03}" for at in range(len(after.messages))]
    assert [text[:3] for text in texts(before)] == [f"{number:03}" for number in range(20 - len(before.messages), 20)]
    assert all(8 <= len(page.messages) <= 10 for page in (newest, before))
    assert 26 <= len(after.messages) <= 30
    assert all((page.whole, page.more) == (True, True) for page in (newest, after, before))


async def test_a_page_has_one_message_whatever_its_budget(new_pod: NewPod) -> None:
    """A message larger than `max_bytes` comes alone, so that a reader gets on; the last one has nothing after it."""
    pod = await new_pod()
    sent = await pod.send("a" * 5000, "b" * 5000)
    read = pod.bus.history
    first = await read(ROOM, Query(10, since=Position(sent[0].epoch, 0), max_bytes=100), KEPT)
    last = await read(ROOM, Query(10, since=sent[0], max_bytes=100), KEPT)
    assert (texts(first), first.whole, first.more) == (["a" * 5000], True, True)
    assert (texts(last), last.whole, last.more) == (["b" * 5000], True, False)


async def test_random_queries_match_the_memory_bus(new_pod: NewPod) -> None:
    """Pages, their positions and their flags are those of the memory bus, for bounds of all kinds."""
    pod, reference = await new_pod(), Pod(MemoryBus(Exchange()))
    rng = random.Random(7)
    await pod.send(*map(str, range(17)))
    await reference.send(*map(str, range(17)))
    ours = (await pod.bus.history(ROOM, Query(0), KEPT)).top.epoch
    theirs = (await reference.bus.history(ROOM, Query(0), KEPT)).top.epoch
    for _ in range(300):
        limit, offset, foreign = rng.randrange(20), rng.randrange(-2, 22), rng.random() < 0.2
        side = rng.choice(("since", "before"))

        def query(epoch: str) -> Query:
            bound = Position("foreign" if foreign else epoch, offset)  # noqa: B023
            return Query(limit, since=bound) if side == "since" else Query(limit, before=bound)  # noqa: B023

        found, expected = (
            await pod.bus.history(ROOM, query(ours), KEPT),
            await reference.bus.history(ROOM, query(theirs), KEPT),
        )
        case = (limit, side, offset, foreign)
        assert (texts(found), found.whole, found.more, found.top.offset) == (
            texts(expected),
            expected.whole,
            expected.more,
            expected.top.offset,
        ), case


async def test_a_publish_may_be_kept_from_making_a_room(new_pod: NewPod) -> None:
    """It is refused with the cause where the room has no history, leaves nothing, and is accepted where it has one."""
    pod = await new_pod()
    settled: list[Settlement] = []
    pod.bus.publish(message("no"), settled.append, kept=KEPT, key="k", create=False)
    start = (await pod.bus.history(ROOM, Query(0), KEPT)).top
    assert await pod.bus.positions([ROOM]) == {}
    await pod.send("a")
    pod.bus.publish(message("b"), settled.append, kept=KEPT, create=False)
    while len(settled) < 2:
        await asyncio.sleep(0.005)
    assert settled[0] == Settlement(Outcome.REFUSED, cause=Cause.NEW_ROOM)
    assert settled[1].position == Position(start.epoch, 2)


async def test_a_history_keeps_a_number_of_bytes(new_pod: NewPod) -> None:
    """The oldest messages go, as many as needed and no more; the newest one always stays."""
    pod = await new_pod()
    kept = Retention(size=50, ttl=60.0, bytes=10_000)
    rng = random.Random(5)
    for number in range(120):
        await pod.send(f"{number:04}" + "x" * rng.randrange(2000), kept=kept)
        page = await pod.bus.history(ROOM, Query(100), KEPT)
        total = sum(len(one.payload) + 100 for one in page.messages)
        assert total <= 10_000 + 40 * 50
        assert page.messages[-1].payload[:4] == b"%04d" % number
        if number > 30:
            assert total > 10_000 - 2500 - 60 * 50
    await pod.send("y" * 20_000, kept=kept)
    page = await pod.bus.history(ROOM, Query(100), KEPT)
    assert [one.payload for one in page.messages] == [b"y" * 20_000]
    assert page.top.offset == 121


async def test_a_limit_of_bytes_holds_after_publishes_without_it(new_pod: NewPod) -> None:
    """Pods of the release before know no such limit. The next publish that has it counts anew."""
    pod = await new_pod()
    kept = Retention(size=10, ttl=60.0, bytes=5000)
    await pod.send("a" * 500, kept=kept)
    await pod.send(*("b" * 500 for _ in range(40)), kept=Retention(size=100, ttl=60.0))
    await pod.send("c" * 500, kept=kept)
    sizes = [len((await pod.bus.history(ROOM, Query(100), KEPT)).messages)]
    await pod.send("d" * 500, kept=kept)
    sizes.append(len((await pod.bus.history(ROOM, Query(100), KEPT)).messages))
    assert sizes in ([8, 8], [9, 9])
    await pod.send(*"efghijklmnopq", kept=kept)
    assert texts(await pod.bus.history(ROOM, Query(100), KEPT)) == list("hijklmnopq")


async def test_a_limit_of_bytes_starts_anew_when_entries_expired(new_pod: NewPod) -> None:
    """What is gone does not count."""
    pod = await new_pod()
    short = Retention(size=10, ttl=0.05, bytes=2000)
    await pod.send("a" * 900, "b" * 900, kept=short)
    await asyncio.sleep(0.1)
    await pod.send("c" * 800, "d" * 800, kept=Retention(size=10, ttl=60, bytes=2000))
    page = await pod.bus.history(ROOM, Query(10), KEPT)
    assert [one.payload[:1] for one in page.messages] == [b"c", b"d"]


async def test_the_same_key_publishes_once(new_pod: NewPod) -> None:
    """A second publish with a key settles as the first one, also on another pod, and is not delivered."""
    one, two = await new_pod(), await new_pod()
    await one.subscribe()
    first = await one.publish(message("a"), KEPT, key="k")
    await one.send("between")
    again = await two.publish(message("a"), KEPT, key="k")
    await one.send("end")
    await one.hears("a", "between", "end")
    assert again == first
    assert first.outcome is Outcome.ACCEPTED
    assert first.position
    assert first.position.offset == 1


async def test_a_key_with_another_content_is_refused(new_pod: NewPod) -> None:
    """The key stays that of the first message, which another payload or another event is not; nothing is delivered."""
    one, two = await new_pod(), await new_pod()
    await one.subscribe()
    first = await one.publish(message("[1]"), KEPT, key="k")
    for other in (message("[2]"), changed(message("[1]"), event="e")):
        for pod in (one, two):
            settlement = await pod.publish(other, KEPT, key="k")
            assert (settlement.outcome, settlement.cause) == (Outcome.REFUSED, Cause.KEY_REUSED)
    assert await two.publish(message("[1]"), KEPT, key="k") == first
    await one.send("end")
    await one.hears("[1]", "end")


async def test_a_key_belongs_to_a_sender_and_a_room(new_pod: NewPod) -> None:
    """The same key of another sender or in another room is another one; all backends are one sender."""
    pod = await new_pod()
    settlements = [
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
    offsets = [settlement.position.offset for settlement in settlements if settlement.position]
    assert offsets == [1, 2, 3, 4, 5, 1, 3]


async def test_positions_of_many_rooms_are_read_at_once(new_pod: NewPod) -> None:
    """Rooms without a message so far are left out."""
    pod = await new_pod()
    rooms = [RoomName(f"room.{number}") for number in range(1300)]
    settled: list[Settlement] = []
    for number, room in enumerate(rooms):
        for _ in range(number % 3):
            pod.bus.publish(message("x", room), settled.append, kept=KEPT)
    [last] = await pod.send("y", room=rooms[-1])
    # On a Cluster the nodes answer in no order.
    while len(settled) < sum(number % 3 for number in range(len(rooms))):
        await asyncio.sleep(0.005)
    found = await pod.bus.positions(rooms)
    assert {room: position.offset for room, position in found.items()} == {
        room: number % 3 + (room == rooms[-1]) for number, room in enumerate(rooms) if number % 3 or room == rooms[-1]
    }
    assert found[rooms[-1]] == last
    assert await pod.bus.positions([]) == {}


async def test_a_user_may_have_any_name(new_pod: NewPod) -> None:
    """Each user has a personal room of its own, whatever its name is."""
    pod = await new_pod()
    users = ["a", "a:b", "a b", "{a}", "a\r\nPUBLISH", "ä", "A", "*", "a" * 1000, "\0"]
    rooms = [personal_room(user) for user in users]
    for room in rooms:
        await pod.subscribe(room)
    for user, room in zip(users, rooms, strict=True):
        pod.bus.publish(message(user, room))
    while len(pod.heard) < len(users):
        await asyncio.sleep(0.005)
    # There is no order between rooms.
    assert sorted((heard.payload.decode(), heard.room) for heard in pod.heard) == sorted(zip(users, rooms, strict=True))


async def test_a_closed_bus_refuses_publishes(new_pod: NewPod) -> None:
    """A publish after `close` is refused."""
    pod = await new_pod()
    await pod.bus.close()
    assert (await pod.publish(message("late"))).outcome is Outcome.REFUSED
    assert (await pod.publish(message("late"), KEPT)).outcome is Outcome.REFUSED


async def test_a_forgotten_history_is_no_whole_one(new_pod: NewPod) -> None:
    """The messages are gone for every pod, the position stays, and only who has all of it can go on."""
    pod, other = await new_pod(), await new_pod()
    assert await pod.bus.forget(ROOM) == Forgotten(0, None)
    _, before, last = await pod.send(*"abc")
    assert await other.bus.forget(ROOM) == Forgotten(3, last)
    assert await other.bus.forget(ROOM) == Forgotten(0, last)
    behind, level = [await pod.bus.history(ROOM, Query(10, since=one), KEPT) for one in (before, last)]
    assert (texts(behind), behind.whole, behind.top) == ([], False, last)
    assert (texts(level), level.whole, level.top) == ([], True, last)
    assert await pod.bus.positions([ROOM]) == {ROOM: last}
    [next] = await pod.send("d")
    assert next == Position(last.epoch, last.offset + 1)
    behind, level = [await pod.bus.history(ROOM, Query(10, since=one), KEPT) for one in (before, last)]
    assert (texts(behind), behind.whole) == (["d"], False)
    assert (texts(level), level.whole) == (["d"], True)


async def test_a_forgotten_history_forgets_no_key(new_pod: NewPod) -> None:
    """A repeat of a publish is answered as before, and publishes nothing."""
    pod = await new_pod()
    first = await pod.publish(message("once"), KEPT, "k")
    await pod.bus.forget(ROOM)
    assert await pod.publish(message("once"), KEPT, "k") == first
    assert texts(await pod.bus.history(ROOM, Query(10), KEPT)) == []


async def test_a_forgotten_history_keeps_a_number_of_bytes_again(new_pod: NewPod) -> None:
    """What was deleted counts no more."""
    pod = await new_pod()
    kept = Retention(size=50, ttl=60.0, bytes=1000)
    await pod.send(*["x" * 400] * 2, kept=kept)
    await pod.bus.forget(ROOM)
    await pod.send(*["y" * 300] * 2, kept=kept)
    assert texts(await pod.bus.history(ROOM, Query(10), KEPT)) == ["y" * 300] * 2
