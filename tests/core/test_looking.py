"""What operators see of pods: their busiest rooms, their connections, and frames as they come."""

import asyncio

from forestay.core.cluster.control_messages import Answer, Seen, encode
from forestay.core.cluster.watcher import KEPT, Watcher
from forestay.core.cluster.watches import MOST_WATCHES
from forestay.core.facts.frames import Frame
from forestay.core.facts.watch import MOST
from forestay.core.facts.watching import PATIENCE, PERIOD, Watching
from forestay.core.fanout.connection import Connection
from forestay.core.ports.operating import Operating, Wanted
from forestay.core.rules.policies import Policy, Slow
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, pods_room
from tests.support.cluster import ClusterPod, Shared
from tests.support.core import Core, passes
from tests.support.virtual_time import virtual

A, B = RoomName("a"), RoomName("b")


async def both(room: str = "a", one: int = 0, two: int = 0) -> tuple[ClusterPod, ClusterPod]:
    """Two pods that know each other, with so many members of `room`."""
    shared = Shared()
    pods = ClusterPod("p1", shared), ClusterPod("p2", shared)
    shared.state.load |= {"p1": 0, "p2": 0}
    await fill(pods[0], room, one)
    await fill(pods[1], room, two)
    return pods


async def fill(pod: ClusterPod, room: str, members: int) -> None:
    for _ in range(members):
        pod.join(await pod.connect(), room)


def test_the_largest_room_is_the_sum_of_its_parts() -> None:
    """A room with few members on each pod comes before one with more on a single pod."""

    async def script() -> None:
        one, _ = await both("wide", 2, 2)
        await fill(one, "tall", 3)
        found = await one.all_pods.busiest("members", 1)
        assert [(room.room, room.members) for room in found.rooms] == [("wide", 4)]
        assert (found.exact, found.complete) == (True, True)

    virtual(script)


def test_what_a_pod_leaves_out_makes_the_answer_inexact() -> None:
    """Each pod names a hundred rooms. Among more of them, one that both pods have could be larger."""

    async def script() -> None:
        one, two = await both()
        for number in range(101):
            await fill(one, f"one.{number}", 2)
            await fill(two, f"two.{number}", 2)
        assert not (await one.all_pods.busiest("members", 1)).exact
        await fill(one, "large", 3)
        await fill(two, "large", 3)
        found = await one.all_pods.busiest("members", 1)
        assert ([room.room for room in found.rooms], found.exact) == (["large"], True)

    virtual(script)


def test_the_busiest_room_is_the_one_with_the_most_deliveries() -> None:
    """Messages times members, a second, and the bytes of the payloads."""

    async def script() -> None:
        core = Core()
        for user in ("ada", "bob"):
            core.join("busy", user)
        sender, _ = core.join("calm", "carl")
        all_pods = core.pod.all_pods
        assert not (await all_pods.busiest("traffic", 5)).seconds
        core.say(sender, type="broadcast", room="busy", payload=1, echo=True)
        core.say(sender, type="broadcast", room="calm", payload=1, echo=True)
        await asyncio.sleep(2)
        found = await all_pods.busiest("traffic", 5)
        assert [(room.room, room.members) for room in found.rooms] == [("busy", 2), ("calm", 1)]
        assert [(room.messages, room.deliveries, room.bytes) for room in found.rooms] == [
            (0.5, 1, 0.5),
            (0.5, 0.5, 0.5),
        ]

    virtual(script)


def test_rooms_are_counted_while_somebody_looks() -> None:
    """Over the present period and the one before it. After a while without a look nothing is counted."""
    watching = Watching()
    arrivals = [(Message(A, b"12345", ""), 3, 0.0)]
    watching.written(A, arrivals)
    assert watching.look_at_rooms(10.0) == 0.0
    assert watching.active
    watching.written(A, arrivals)
    assert watching.look_at_rooms(10.0 + PERIOD) == PERIOD
    watching.written(A, arrivals)
    watching.written(RoomName("@ada"), arrivals)
    [(name, count)] = watching.rooms().items()
    assert (name, count.messages, count.deliveries, count.bytes) == (A, 2, 6, 10)
    # The first period is gone, and one look does not end the count of another.
    assert watching.look_at_rooms(10.0 + 2 * PERIOD) == PERIOD
    assert watching.rooms()[A].messages == 1
    assert watching.rest(10.0 + 2 * PERIOD + PATIENCE - 1) == 1.0
    assert watching.rest(10.0 + 2 * PERIOD + PATIENCE) == 0.0
    assert (watching.active, watching.rooms()) == (False, {})


def test_only_so_many_rooms_are_counted() -> None:
    """What waits to be counted is bounded, however many rooms there are."""
    watching = Watching()
    watching.look_at_rooms(1.0)
    for number in range(10_050):
        name = RoomName(f"r{number}")
        watching.written(name, [(Message(name, b"1", ""), 1, 0.0)])
    assert len(watching.rooms()) == 10_000


async def test_a_connection_says_how_it_is() -> None:
    """Also what waits for it, and the rooms of which it misses messages."""
    core = Core(Policy("**", slow=Slow.DROP_OLDEST), send_buffer_bytes=65536)
    alice, transport = core.join("a", "alice")
    transport.waiting = 10**6
    bob, _ = core.join("a", "bob")
    core.say(bob, type="broadcast", room="a", payload="x")
    await passes()
    [found], complete = await core.pod.all_pods.slow(10)
    assert complete
    assert (found.id, found.user, found.waiting_bytes, found.slow_rooms) == (alice.id, "alice", 10**6, ["a"])
    one, _ = await core.pod.all_pods.connection(alice.id)
    assert (one is not None and one.rooms, one is not None and one.rights) == (["a"], None)
    assert (await core.pod.all_pods.connection("nobody"))[0] is None


async def test_a_pod_that_nothing_is_known_of_answers_all_the_same() -> None:
    """Without a process around it there are no incidents, no minutes and nothing to shed."""
    all_pods, nothing = Core().pod.all_pods, Operating()
    assert await all_pods.recent(Wanted(limit=5)) == ([], True)
    minutes, complete = await all_pods.minutes(3, 120)
    assert ([minute.at for minute in minutes], complete) == ([0, 60, 120], True)
    assert await all_pods.shed("p1", 0.5, 1.0) == 0
    assert nothing.vitals() is None


async def seen(watcher: Watcher) -> list[Frame]:
    """The next frames that the pod passes on."""
    return [frame for _, frame in (await watcher.next(5.0))[0]]


def watcher_of(core: Core, connection: Connection | None = None, room: str | None = None) -> Watcher:
    return Watcher(core.pod.control, "w", None if connection is None else connection.id, room)


async def test_a_watch_shows_what_a_client_sends_and_gets() -> None:
    """In order, with what did not reach it, and without what is for others."""
    core = Core(Policy("a", slow=Slow.DROP_OLDEST), send_buffer_bytes=65536)
    alice, transport = core.connect("alice")
    bob, _ = core.join("a", "bob")
    watcher = watcher_of(core, alice)
    assert await watcher.renew() == (["p1"], True)
    core.say(alice, type="join", room="a")
    core.say(alice, type="join", room="news.a")
    core.say(alice, type="broadcast", room="a", payload=1, echo=False)
    core.say(bob, type="broadcast", room="a", payload=22, event=None)
    await passes()
    transport.waiting = 10**6
    core.say(bob, type="broadcast", room="a", payload=3)
    core.say(alice, type="no such type")
    core.pod.dispatcher.pong(alice)
    await passes()
    found = [(one.way, one.type, one.room, one.lost) for one in await seen(watcher)]
    assert found == [
        ("in", "join", "a", False),
        ("out", "joined", "a", False),
        ("in", "join", "news.a", False),
        ("out", "joined", "news.a", False),
        ("in", "broadcast", "a", False),
        ("out", "message", "a", False),
        ("in", "unreadable", None, False),
        ("out", "error", None, False),
        ("in", "pong", None, False),
        ("out", "message", "a", True),
    ]
    transport.waiting = 0
    core.say(bob, type="broadcast", room="a", payload=4)
    await passes()
    assert ("resync", "slow") in [(one.type, one.reason) for one in await seen(watcher)]
    await watcher.end()
    assert not core.pod.watching.active


async def test_a_watch_of_a_room_shows_what_is_published_in_it() -> None:
    """Whoever is in it, and nothing of other rooms. Payloads are shown only where the settings say so."""
    core = Core()
    bob, _ = core.connect("bob")
    watcher = watcher_of(core, room="a")
    await watcher.renew()
    for room in ("a", "b"):
        core.say(bob, type="broadcast", room=room, payload={"x": 1}, event=None)
    [frame] = await seen(watcher)
    assert (frame.way, frame.room, frame.user, frame.bytes, frame.payload) == ("in", "a", "bob", 8, None)
    await watcher.end()


async def test_frames_that_are_too_many_are_counted() -> None:
    """On the pod where they come, and where they wait for the reader."""
    core = Core()
    bob, _ = core.connect("bob")
    watcher = watcher_of(core, room="a")
    await watcher.renew()
    for _ in range(MOST + 7):
        core.say(bob, type="broadcast", room="a", payload=1)
    frames, dropped = await watcher.next(5.0)
    assert (len(frames), dropped) == (MOST, 7)
    frame = Frame(at=0.0, way="in", type="broadcast")
    answer = Answer(0, "p2", seen=Seen(watch="w", frames=[frame] * (KEPT + 5), dropped=2))
    core.pod.control.received(Message(pods_room(), encode(answer), "", kind=Kind.PODS))
    frames, dropped = await watcher.next(5.0)
    assert (len(frames), dropped) == (KEPT, 7)
    await watcher.end()


async def test_a_watch_says_that_its_connection_has_ended() -> None:
    """Then the pod looks no more; one that is not there cannot be watched."""
    core = Core()
    bob, _ = core.connect("bob")
    watcher = watcher_of(core, bob)
    await watcher.renew()
    await core.pod.all_pods.connection(bob.id, end=True)
    await watcher.next(5.0)
    assert watcher.ended
    assert not core.pod.watching.active
    assert await watcher_of(core, bob).renew() == ([], True)


async def test_a_pod_with_too_many_watches_says_so() -> None:
    """It has the connection, and does not watch it. A connection that it does not have is no reason to say so."""
    core = Core()
    bob, _ = core.connect("bob")
    watchers = [Watcher(core.pod.control, f"w{number}", bob.id) for number in range(MOST_WATCHES + 1)]
    for watcher in watchers[:-1]:
        assert await watcher.renew() == (["p1"], True)
    for one, full in ((watchers[-1], True), (Watcher(core.pod.control, "other", "nobody"), False)):
        assert (await one.renew(), one.full) == (([], not full), full)
    await watchers[0].end()
    assert (await watchers[-1].renew(), watchers[-1].full) == ((["p1"], True), False)
    for watcher in watchers[1:]:
        await watcher.end()
    assert not core.pod.watching.active


def test_a_watch_that_is_not_renewed_ends() -> None:
    """Where the pod that asked has died, the others look no more after a while."""

    async def script() -> None:
        one, two = await both("a", 0, 1)
        watcher = Watcher(one.control, "w", room="a")
        assert await watcher.renew() == (["p1", "p2"], True)
        for _ in range(3):
            await asyncio.sleep(10)
            assert two.runtime.watching.active
            await watcher.renew()
        await asyncio.sleep(20)
        assert not two.runtime.watching.active

    virtual(script)


def test_news_of_a_user_is_not_for_its_own_connections() -> None:
    """A watch shows it to the others only."""
    core_message = Message(A, b"{}", "", "alice", kind=Kind.USER_JOINED)

    async def script() -> None:
        pod = ClusterPod("p1")
        alice, bob = await pod.connect("alice"), await pod.connect("bob")
        assert (alice.gets(core_message), bob.gets(core_message)) == (False, True)

    virtual(script)
