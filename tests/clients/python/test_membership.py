"""A room is one stream over all its connections."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay_client.backoff import Backoff
from forestay_client.membership import HELD, Membership
from forestay_client.messages import Joined, Message, Position, Resync, RoomState, RoomStateChange

ROOM = "log.a"


class Line:
    """A connection that records what was sent on it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def say(self, **request: object) -> str:
        self.sent.append(request)
        return str(len(self.sent))

    def ask(self, **request: object) -> Awaitable[dict[str, Any]]:
        self.sent.append(request)

        async def answer() -> dict[str, Any]:
            return {}

        coroutine = answer()
        coroutine.close()
        return coroutine


class World:
    """A wanted room, and the events of its application."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.settled: list[Line] = []
        self.membership = Membership(
            ROOM,
            lambda event, value: self.heard.append((event, value)),
            lambda delay, call: self.later.append((delay, call)),
            lambda: Backoff(1.0, 1.0),
        )
        self.membership.want()

    def enter(self, line: Line) -> None:
        self.membership.enter(line, lambda: self.settled.append(line))

    def hear(self, line: Line, type: str, **fields: object) -> None:
        self.membership.hear(line, {"type": type, "room": ROOM, **fields})

    def joined(self, line: Line, **payload: object) -> None:
        self.hear(line, "joined", id=str(len(line.sent)), payload=payload)

    def message(self, line: Line, offset: int, epoch: str = "e") -> None:
        self.hear(line, "broadcast", payload=offset, epoch=epoch, offset=offset)

    @property
    def offsets(self) -> list[int]:
        return [value.payload for _, value in self.heard if isinstance(value, Message)]

    @property
    def losses(self) -> list[Resync | Joined]:
        """The events that announced lost messages."""
        return [
            value
            for _, value in self.heard
            if isinstance(value, Resync) or (isinstance(value, Joined) and value.recovered is False)
        ]


def moving(at: int) -> tuple[World, Line, Line]:
    """A room that received up to `at` on an old connection and enters a new one."""
    world, old, new = World(), Line(), Line()
    world.enter(old)
    world.joined(old, epoch="e", offset=0)
    for offset in range(1, at + 1):
        world.message(old, offset)
    world.enter(new)
    return world, old, new


@given(at=st.integers(0, 5), turns=st.lists(st.booleans(), max_size=30), join_after=st.integers(0, 8))
def test_two_connections_make_one_stream(at: int, turns: list[bool], join_after: int) -> None:
    """With two connections in any order, each message comes once and in order."""
    world, old, new = moving(at)
    behind = {old: at, new: at}
    for number, is_new in enumerate(turns):
        if number == join_after:
            world.joined(new, epoch="e", offset=behind[old], recovered=True)
        line = new if is_new and number >= join_after else old
        behind[line] += 1
        world.message(line, behind[line])
    assert world.offsets == list(range(1, max(behind.values()) + 1))
    assert world.losses == []


@given(
    number=st.integers(0, 12),
    joined_at=st.integers(0, 12),
    ends_at=st.integers(0, 12),
    turns=st.lists(st.booleans(), max_size=30),
)
def test_without_positions_a_message_on_both_connections_comes_once(
    number: int, joined_at: int, ends_at: int, turns: list[bool]
) -> None:
    """Without positions, a message on the old and the new connection is delivered once."""
    sent = list(range(number))
    world, old, new = World(), Line(), Line()
    world.enter(old)
    world.joined(old)
    world.enter(new)
    joined_at = min(joined_at, len(sent))
    ends_at = max(joined_at, min(ends_at, len(sent)))
    ways = {old: sent[:ends_at], new: sent[joined_at:]}
    world.joined(new)

    def speak(line: Line) -> None:
        if ways[line]:
            world.hear(line, "broadcast", payload=ways[line][0], timestamp="now")
            ways[line] = ways[line][1:]

    for is_new in turns:
        speak(new if is_new else old)
    while ways[old]:
        speak(old)
    world.membership.lost(old, 1000, "")
    while ways[new]:
        speak(new)
    assert sorted(world.offsets) == sent


def test_equal_messages_are_delivered_twice() -> None:
    """Two equal messages at the same time are both delivered, if each connection has both."""
    world, old, new = World(), Line(), Line()
    for line in (old, new):
        world.enter(line)
        world.joined(line)
    for line in (old, old, new, new, new):
        world.hear(line, "broadcast", payload=1, timestamp="now")
    assert world.offsets == [1, 1, 1]


@given(before=st.integers(0, 4), gap=st.integers(1, 4), after=st.integers(1, 4), data=st.data())
def test_a_new_connection_that_starts_further_on_waits_for_the_old_one(
    before: int, gap: int, after: int, data: st.DataObject
) -> None:
    """If the new connection starts later, the old one still delivers the messages in between."""
    world, old, new = moving(before)
    start = before + gap
    world.joined(new, epoch="e", offset=start, recovered=False)
    assert new not in world.settled
    lines = data.draw(st.permutations([old] * gap + [new] * after))
    behind = {old: before, new: start}
    for line in lines:
        behind[line] += 1
        world.message(line, behind[line])
    assert world.offsets == list(range(1, start + after + 1))
    assert new in world.settled
    assert world.losses == []


def test_messages_that_the_old_connection_never_delivered_are_lost() -> None:
    """If the old connection ends first, the stream continues on the new one and announces the loss."""
    world, old, new = moving(2)
    world.joined(new, epoch="e", offset=5, recovered=False)
    world.message(new, 6)
    assert world.offsets == [1, 2]
    world.membership.lost(old, 1001, "going away")
    assert world.losses == [Joined(ROOM, Position("e", 5), recovered=False)]
    assert world.offsets == [1, 2, 6]
    assert world.membership.state is RoomState.JOINED


def test_a_resync_of_the_new_connection_stands_for_what_it_would_have_waited_for() -> None:
    """After a resync on the new connection the stream continues behind its position without waiting."""
    world, _, new = moving(2)
    world.joined(new, epoch="e", offset=5, recovered=False)
    world.hear(new, "resync", payload={"reason": "slow", "epoch": "e", "offset": 9})
    world.message(new, 10)
    assert world.losses == [Resync(ROOM, "slow", Position("e", 9))]
    assert world.offsets == [1, 2, 10]


def test_not_more_is_held_than_there_is_room_for() -> None:
    """An old connection that does not catch up is given up when the buffer is full."""
    world, _, new = moving(0)
    world.joined(new, epoch="e", offset=5, recovered=False)
    for offset in range(6, 6 + HELD + 1):
        world.message(new, offset)
    assert world.losses == [Joined(ROOM, Position("e", 5), recovered=False)]
    assert world.offsets == list(range(6, 6 + HELD + 1))


def test_a_new_epoch_ends_the_old_stream() -> None:
    """A new epoch ends the old connection's stream and announces a loss, because positions cannot be compared."""
    world, old, new = moving(3)
    world.joined(new, epoch="f", offset=0, recovered=False)
    world.message(old, 4)
    world.message(new, 1, "f")
    assert world.offsets == [1, 2, 3, 1]
    assert world.losses == [Joined(ROOM, Position("f", 0), recovered=False)]


def test_a_move_has_not_caught_up_before_what_was_missed_came() -> None:
    """The old connection stays until the new one has delivered all up to the position in `joined`."""
    world, old, new = moving(1)
    world.joined(new, epoch="e", offset=3, recovered=True)
    world.message(new, 2)
    assert world.settled == [old]
    world.message(new, 3)
    assert world.settled == [old, new]


def test_what_was_heard_before_the_break_is_not_heard_again() -> None:
    """A new connection that is behind continues after the last delivered message, without a loss."""
    world, old, new = moving(0)
    for offset in (1, 2, 3):
        world.message(old, offset)
    world.membership.lost(old, 1001, "")
    assert world.membership.state is RoomState.JOINING
    world.joined(new, epoch="e", offset=2, recovered=False)
    for offset in (3, 4):
        world.message(new, offset)
    assert world.offsets == [1, 2, 3, 4]
    assert [value.recovered for _, value in world.heard if isinstance(value, Joined)] == [None, True]


def test_a_room_without_history_says_that_it_was_away() -> None:
    """After a reconnect a room without history is `not recovered`, which only the client can know."""
    world, one, two = World(), Line(), Line()
    world.enter(one)
    world.joined(one)
    world.membership.lost(one, 1006, "")
    world.enter(two)
    world.joined(two)
    assert [value.recovered for _, value in world.heard if isinstance(value, Joined)] == [None, False]


@pytest.mark.parametrize("code", ["unavailable", "rate_limited"])
def test_a_join_that_may_succeed_later_is_tried_again(code: str) -> None:
    """A join is retried after the time that the gateway names, or else after the client's own delay."""
    world, line = World(), Line()
    world.enter(line)
    world.hear(line, "error", id="1", payload={"code": code, "message": "", "retry_after_ms": 500})
    world.hear(line, "error", id="9", payload={"code": code, "message": "another's"})
    [(delay, again)] = world.later
    assert delay == 0.5
    again()
    assert [one["type"] for one in line.sent] == ["join", "join"]
    assert world.membership.state is RoomState.JOINING


def test_a_right_that_was_lost_ends_the_membership_everywhere() -> None:
    """A lost right ends the membership with its reason on every connection."""
    world, old, new = moving(1)
    world.joined(new, epoch="e", offset=1, recovered=True)
    world.hear(old, "left", payload={"reason": "forbidden"})
    changes = [value for _, value in world.heard if isinstance(value, RoomStateChange)]
    assert (changes[-1].state, changes[-1].code) == (RoomState.LEFT, "forbidden")
    assert new.sent[-1] == {"type": "leave", "room": ROOM}
    world.message(new, 2)
    assert world.offsets == [1]


def test_presence_is_told_once_while_two_connections_tell_it() -> None:
    """With two connections, presence changes come from the older one only."""
    world, old, new = moving(0)
    world.joined(new, epoch="e", offset=0, recovered=True)
    for line in (new, old):
        world.hear(line, "user-joined", payload={"user": "bob"})
    assert [event for event, _ in world.heard if event == "user-joined"] == ["user-joined"]
