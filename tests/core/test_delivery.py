"""A pass writes one buffer for each audience and makes one write for each member, with few exceptions."""

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forestay.bus.memory.bus import MemoryBus
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.delivery import Delivery
from forestay.core.fanout.passes import Passes
from forestay.core.fanout.rests import Pace, Rests
from forestay.core.fanout.rooms import Room
from forestay.core.ports.bus import Outcome, Settled, Settlement
from forestay.core.rules.policies import Policy, Retention, Slow
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName
from tests.support.core import Core, RecordingTransport, frames, passes


async def test_a_burst_is_one_write_per_member_and_one_buffer_for_all() -> None:
    """Ten messages to three members are three writes of the same bytes object."""
    core = Core()
    sockets = [core.join("a")[1] for _ in range(3)]
    speaker, _ = core.connect()
    await passes()
    before = [len(socket.writes) for socket in sockets]
    for number in range(10):
        core.say(speaker, type="broadcast", room="a", payload=number)
    await passes()
    assert [len(socket.writes) for socket in sockets] == [count + 1 for count in before]
    assert sockets[0].writes[-1] is sockets[1].writes[-1] is sockets[2].writes[-1]
    assert [said["payload"] for said in sockets[0].heard()[-10:]] == list(range(10))


async def test_several_rooms_are_joined_in_one_write() -> None:
    """A member of three busy rooms gets one write in a pass. Replies come first in it."""
    core = Core()
    member, socket = core.connect()
    speaker, _ = core.connect()
    for room in ("a", "b", "c"):
        core.say(member, type="join", room=room)
    await passes()
    before = len(socket.writes)
    for room in ("a", "b", "c"):
        core.say(speaker, type="broadcast", room=room, payload=1)
    core.say(member, type="ping")
    await passes()
    assert len(socket.writes) == before + 1
    assert [said["type"] for said in socket.heard()[-4:]] == ["pong", "broadcast", "broadcast", "broadcast"]


class SlowLoop:
    """A loop whose clock moves only when a test moves it. Writes can move it too."""

    def __init__(self) -> None:
        self.now = 100.0
        self.soon: list[Callable[[], object]] = []
        self.later: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.soon.append(callback)

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: object) -> None:
        self.later.append((self.now + delay, partial(callback, *arguments)))


def delivery_of(core: Core) -> Delivery:
    """The pod's Delivery."""
    delivery = core.pod.recovery._members
    assert isinstance(delivery, Delivery)
    return delivery


def passes_of(core: Core) -> Passes:
    """The pod's Passes."""
    return delivery_of(core)._passes


def news(delivery: Delivery, room: Room, user: str) -> None:
    """Deliver the news that `user` joined `room`."""
    payload = json.dumps({"user": user}).encode()
    delivery.deliver(Message(room.name, payload, "now", sender=user, kind=Kind.USER_JOINED))


def slow_delivery(core: Core, *rooms: str, took: float) -> tuple[SlowLoop, list[Room], Sequence[RecordingTransport]]:
    """A SlowLoop for Passes, and rooms with one member each. A write to a member takes `took` seconds."""
    passes = passes_of(core)
    loop = SlowLoop()
    passes._loop = loop  # type: ignore[assignment]
    passes._perf = loop.time
    passes._rests = Rests(loop, Pace(1.0, 0.01), passes.schedule)  # type: ignore[arg-type]
    passes._scheduled = False

    class Costly(RecordingTransport):
        def write(self, data: bytes, /) -> None:
            loop.now += took
            super().write(data)

    entered, sockets = [core.pod.rooms.enter(RoomName(name)) for name in rooms], [Costly() for _ in rooms]
    for room, socket in zip(entered, sockets, strict=True):
        like = core.connect()[0]
        room.add(Connection("id", like.identity, socket, like.bucket, 0.0, lambda *_: None))
    loop.soon.clear()
    passes._scheduled = False
    return loop, entered, sockets


@pytest.mark.parametrize(("took", "rests"), [(0.004, 0.004), (0.5, 0.01), (0.0, 0.0)])
async def test_a_room_rests_as_long_as_its_pass_took(took: float, rests: float) -> None:
    """The rest has a cap. The first message of a quiet room waits only for the end of the tick."""
    core = Core()
    delivery = delivery_of(core)
    loop, [room], [socket] = slow_delivery(core, "a", took=took)
    news(delivery, room, "x")
    loop.soon.pop()()
    news(delivery, room, "y")
    if rests:
        [(when, end_of_rest)] = loop.later
        assert when == pytest.approx(loop.now + rests)
        assert not loop.soon
        end_of_rest()
    loop.soon.pop()()
    assert [said["payload"] for said in socket.heard()] == [{"user": "x"}, {"user": "y"}]


async def test_a_room_that_was_not_written_does_not_wait_for_one_that_rests() -> None:
    """The rest merges writes to the same sockets. It would only delay the writes to other sockets."""
    core = Core()
    delivery = delivery_of(core)
    loop, [busy, other], [busy_socket, other_socket] = slow_delivery(core, "a", "b", took=0.004)
    news(delivery, busy, "x")
    loop.soon.pop()()
    news(delivery, busy, "y")
    news(delivery, other, "z")
    loop.soon.pop()()
    assert [said["payload"] for said in other_socket.heard()] == [{"user": "z"}]
    assert [said["payload"] for said in busy_socket.heard()] == [{"user": "x"}]


async def test_a_client_that_leaves_or_ends_during_a_rest_gets_its_pending_messages() -> None:
    """A rest delays writes and loses none of them."""
    core = Core()
    leaver, leaving = core.join("a")
    ender, ending = core.join("a")
    await passes()
    room = core.pod.rooms.enter(RoomName("a"))
    room.resting = True
    core.say(leaver, type="broadcast", room="a", payload="last")
    core.say(leaver, type="leave", room="a")
    ender.end(ENDINGS[CloseCode.GOING_AWAY])
    await passes()
    assert [said["type"] for said in leaving.heard()[-2:]] == ["broadcast", "left"]
    assert ending.heard()[-1]["payload"] == "last"


async def test_a_slow_client_that_leaves_gets_resync_before_left() -> None:
    """It gets `resync` before `left`. `left` alone would mean that nothing is missing."""
    core = Core(Policy("drop.*", slow=Slow.DROP_OLDEST), send_buffer_bytes=4096)
    slow, socket = core.join("drop.a")
    speaker, _ = core.connect()
    await passes()
    socket.stuck, socket.waiting = True, 5000
    core.say(speaker, type="broadcast", room="drop.a", payload="lost")
    await passes()
    core.say(slow, type="leave", room="drop.a")
    await passes()
    assert [said["type"] for said in socket.heard()[-2:]] == ["resync", "left"]


async def test_only_rooms_with_something_for_a_slow_client_count_against_it() -> None:
    """A slow client misses nothing in a room whose only message leaves it out."""
    core = Core(Policy("drop.*", slow=Slow.DROP_OLDEST), send_buffer_bytes=4096)
    member, socket = core.join("drop.a")
    core.say(member, type="join", room="end.a")
    speaker, _ = core.connect()
    await passes()
    socket.stuck, socket.waiting = True, 5000
    core.say(member, type="broadcast", room="end.a", payload="own", echo=False)
    core.say(speaker, type="broadcast", room="drop.a", payload="lost")
    await passes()
    assert socket.ending is None
    assert member.missed == {"drop.a": None}


async def test_a_slow_client_that_comes_back_to_a_room_at_once_stops_nobody() -> None:
    """It leaves its own room, which has pending frames, and joins it again before the pass; the others get theirs."""
    core = Core(Policy("drop.*", slow=Slow.DROP_OLDEST), send_buffer_bytes=4096)
    slow, socket = core.join("drop.own")
    core.say(slow, type="join", room="drop.all")
    _, other = core.join("drop.all")
    speaker, _ = core.connect()
    await passes()
    socket.waiting = 5000
    core.say(slow, type="broadcast", room="drop.own", payload=1)
    core.say(slow, type="leave", room="drop.own")
    core.say(slow, type="join", room="drop.own")
    for number in (1, 2):
        core.say(speaker, type="broadcast", room="drop.all", payload=number)
        await passes()
    assert [said["payload"] for said in other.heard() if said["type"] == "broadcast"] == [1, 2]
    assert slow.missed == {"drop.all": None}


@pytest.mark.parametrize("rooms", [["a"], ["a", "b"]])
async def test_a_slow_member_that_is_ended_stops_nobody(rooms: list[str]) -> None:
    """It leaves its rooms in the middle of the pass. The members around it get theirs, in one room or in two."""
    core = Core(send_buffer_bytes=4096)
    members = [core.connect() for _ in range(4)]
    for room in rooms:
        for connection, _ in members:
            core.say(connection, type="join", room=room)
    speaker, _ = core.connect()
    await passes()
    slow, socket = members[1]
    socket.stuck, socket.waiting = True, 5000
    for room in rooms:
        core.say(speaker, type="broadcast", room=room, payload=room)
    await passes()
    assert slow.ended == ENDINGS[CloseCode.TOO_SLOW]
    for connection, transport in members:
        said = [one["payload"] for one in transport.heard() if one["type"] == "broadcast"]
        assert said == ([] if connection is slow else rooms)


async def test_nothing_is_written_to_a_closed_socket() -> None:
    """A closed socket gets no write, and the other members get theirs."""
    core = Core()
    _, socket = core.join("a")
    other, other_socket = core.join("a")
    await passes()
    socket.gone = True
    before = len(socket.writes)
    core.say(other, type="broadcast", room="a", payload=1)
    await passes()
    assert len(socket.writes) == before
    assert other_socket.heard()[-1]["payload"] == 1


async def test_the_policy_of_the_room_ends_a_slow_member_or_drops_its_messages() -> None:
    """The policy of the room decides. The slow client still gets replies."""
    core = Core(Policy("drop.*", slow=Slow.DROP_OLDEST), send_buffer_bytes=4096)
    dropped, dropped_socket = core.join("drop.a")
    _, ended_socket = core.join("end.a")
    speaker, _ = core.connect()
    await passes()
    for socket in (dropped_socket, ended_socket):
        socket.stuck = True
        socket.waiting = 5000
    for room in ("drop.a", "end.a"):
        core.say(speaker, type="broadcast", room=room, payload="lost")
    core.say(dropped, type="ping")
    await passes()
    assert ended_socket.ending == ENDINGS[CloseCode.TOO_SLOW]
    assert dropped_socket.heard()[-1]["type"] == "pong"
    dropped_socket.waiting, dropped_socket.stuck = 2000, False
    core.say(speaker, type="broadcast", room="drop.a", payload="again")
    await passes()
    assert [(said["type"], said["payload"]) for said in dropped_socket.heard()[-2:]] == [
        ("resync", {"reason": "slow"}),
        ("broadcast", "again"),
    ]


async def with_a_large_answer() -> tuple[Core, Connection, RecordingTransport, Connection]:
    """A client in the room `a` that has asked for 10 kB of history and reads nothing, and another that speaks."""
    core = Core(Policy("kept", history=Retention(100, 60)), send_buffer_bytes=4096)
    asking, socket = core.connect(rooms={"**": "rwh"})
    core.say(asking, type="join", room="a")
    speaker, _ = core.connect()
    for number in range(10):
        core.say(speaker, type="broadcast", room="kept", payload=[number, "x" * 1000])
    await passes()
    socket.stuck = True
    await core.ask(asking, type="history", room="kept")
    await passes()
    return core, asking, socket, speaker


async def test_answers_do_not_make_a_client_slow() -> None:
    """A client that asks for a lot gets its room messages too; it is slow when as many of those wait for it."""
    core, _, socket, speaker = await with_a_large_answer()
    assert (socket.waiting > 10_000, socket.reading_held) == (True, True)
    before = socket.waiting
    while socket.ending is None:
        core.say(speaker, type="broadcast", room="a", payload="x" * 500)
        await passes()
        assert socket.waiting < before + 4096 + 1000
    assert socket.ending == ENDINGS[CloseCode.TOO_SLOW]
    assert socket.waiting > before + 3000


async def test_answers_that_were_taken_give_no_room_for_messages() -> None:
    """What a client asked for once and has read does not let more messages wait for it later."""
    core, asking, socket, speaker = await with_a_large_answer()
    socket.waiting = 0
    core.say(asking, type="ping")
    while socket.ending is None:
        core.say(speaker, type="broadcast", room="a", payload="x" * 500)
        await passes()
        assert socket.waiting < 4096 + 1000


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.REFUSED, "unavailable"), (Outcome.UNKNOWN, "outcome_unknown")])
async def test_a_message_that_the_bus_did_not_take_is_not_acknowledged(outcome: Outcome, code: str) -> None:
    """The code of the refusal says whether a retry is safe."""

    class Failing(MemoryBus):
        def publish(
            self,
            message: Message,
            settled: Settled | None = None,
            *,
            kept: Retention | None = None,
            key: str | None = None,
            create: bool = True,
            told: bytes | None = None,
        ) -> None:
            if settled is not None:
                settled(Settlement(outcome))

    core = Core(bus=Failing())
    speaker, socket = core.connect()
    core.say(speaker, type="broadcast", room="a", payload=1, id="7")
    await passes()
    error = socket.heard()[-1]
    assert (error["type"], error["id"], error["payload"]["code"]) == ("error", "7", code)


actions = st.lists(
    st.tuples(
        st.sampled_from(["join", "leave", "say", "say", "say", "quiet", "binary", "end", "pass", "pass"]),
        st.integers(0, 4),
        st.sampled_from(["a", "b"]),
    ),
    min_size=10,
    max_size=80,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(actions)
def test_members_get_exactly_the_messages_published_while_they_are_in_the_room(
    plan: list[tuple[str, int, str]],
) -> None:
    """Messages come in the order of acceptance, with joins, leaves and ends in between. No state remains at the end."""

    async def run() -> None:
        core = Core()
        people = [core.connect(f"user-{number}") for number in range(5)]
        expected: list[list[Any]] = [[] for _ in people]
        inside: list[set[str]] = [set() for _ in people]
        for number, (action, who, room) in enumerate(plan):
            one, socket = people[who]
            if one.ended is not None:
                continue
            match action:
                case "join":
                    core.say(one, type="join", room=room)
                    inside[who].add(room)
                case "leave":
                    core.say(one, type="leave", room=room)
                    inside[who].discard(room)
                case "say" | "quiet":
                    core.say(one, type="broadcast", room=room, payload=number, echo=action == "say")
                    for other in range(5):
                        if room in inside[other] and (action == "say" or other != who):
                            expected[other].append((room, number))
                case "binary" if len(inside[who]) == 1:
                    data = b"\0\0\0\1" + number.to_bytes(4, "big")
                    core.send_binary(one, data)
                    for other in range(5):
                        if inside[who] <= inside[other]:
                            expected[other].append((None, number))
                case "end":
                    one.end(ENDINGS[CloseCode.GOING_AWAY])
                    inside[who].clear()
                case _:
                    await passes()
            occupied = {name for rooms in inside for name in rooms}
            # The subscription to a room that was left stays for a moment.
            assert set(core.bus._exchange.subscribers) >= occupied
        await passes()
        for (_, socket), wanted in zip(people, expected, strict=True):
            assert messages(socket) == wanted or by_room(messages(socket)) == by_room(wanted)
        for one, _ in people:
            core.pod.sessions.lost(one, ENDINGS[CloseCode.NORMAL])
        assert (len(core.pod.hub), len(core.pod.rooms)) == (0, 0)
        assert not core.pod.sessions._keepalive._checks._by_subject
        core.pod.sessions.close()
        core.pod.subscriptions.close()
        assert not core.bus._exchange.subscribers

    asyncio.run(run())


def messages(socket: RecordingTransport) -> list[tuple[str | None, int]]:
    """The room messages written to `socket`, in order. Binary ones name no room."""
    found: list[tuple[str | None, int]] = []
    for data in frames(b"".join(socket.writes)):
        if data[:4] == b"\0\0\0\1":
            found.append((None, int.from_bytes(data[4:], "big")))
        elif b'"type":"broadcast"' in data:
            said = json.loads(data)
            found.append((said["room"], said["payload"]))
    return found


def by_room(heard: list[tuple[str | None, int]]) -> tuple[dict[str, list[int]], list[int]]:
    """The messages by room. Binary messages name no room, so their order is not compared."""
    rooms: dict[str, list[int]] = {}
    for room, number in heard:
        if room is not None:
            rooms.setdefault(room, []).append(number)
    return rooms, sorted(number for room, number in heard if room is None)
