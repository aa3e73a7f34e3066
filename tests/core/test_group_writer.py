"""Passes to large rooms go to a GroupWriter, where there is one."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from forestay.core.fanout.rests import LARGE_REST, Pace, Rests
from forestay.core.fanout.rooms import LARGE_ROOM
from forestay.core.ports.group_writer import Group
from forestay.core.rules.policies import Policy, Retention
from forestay.protocol.names import RoomName
from tests.support.core import Core, RecordingTransport, passes
from tests.support.line_wire import LineWire, tail

PACE = Pace(1.0, 0.01)


class Beside:
    """A GroupWriter whose writes are made when the test says so. The core keeps those for whom something waits.

    What the core writes to these clients meanwhile waits for them.
    """

    def __init__(self) -> None:
        self.groups: list[tuple[Group, Callable[[float], None]]] = []

    def write(self, group: Group, written: Callable[[float], None]) -> Sequence[int]:
        ready = [at for at, one in enumerate(group.transports) if not one.closed() and not one.buffered()]
        taken = Group([group.transports[at] for at in ready], [group.buffers[at] for at in ready])
        for one, data in zip(taken.transports, taken.buffers, strict=True):
            assert isinstance(one, RecordingTransport)
            assert one.held is None, "the writes before are not made yet"
            one.held = [data]
        self.groups.append((taken, written))
        return sorted({*range(len(group.transports))} - {*ready})

    def make(self) -> None:
        """Make the writes of the oldest group."""
        group, written = self.groups.pop(0)
        for transport in group.transports:
            assert isinstance(transport, RecordingTransport)
            transport.release()
        written(0.0)


def payloads(heard: list[dict[str, object]]) -> list[object]:
    return [said["payload"] for said in heard if said["type"] == "broadcast"]


async def test_a_large_room_is_written_beside_the_loop_and_rests_until_then() -> None:
    """What is published meanwhile waits for the next group, in order. Each member gets one write of it."""
    beside = Beside()
    core = Core(group_writer=beside)
    members = [core.join("large") for _ in range(LARGE_ROOM)]
    await passes()
    for connection, _ in members[:1]:
        core.say(connection, type="broadcast", room="large", payload=1)
        await passes()
        core.say(connection, type="broadcast", room="large", payload=2)
        core.say(connection, type="broadcast", room="large", payload=3)
        await passes()
    assert len(beside.groups) == 1
    assert not any(payloads(socket.heard()) for _, socket in members)
    beside.make()
    await passes()
    before = [len(socket.writes) for _, socket in members]
    beside.make()
    assert [payloads(socket.heard()) for _, socket in members] == [[1, 2, 3]] * LARGE_ROOM
    assert [len(socket.writes) - 1 for _, socket in members] == before


@pytest.mark.parametrize(
    ("messages", "beside", "pace", "rest"),
    [
        (1, 0.006, PACE, 0.0),
        (2, 0.006, PACE, 0.006),
        (2, 0.1, PACE, 0.01),
        (2, 0.001, PACE, LARGE_REST),
        (2, 0.001, Pace(1.0, 0.002), 0.002),
        (2, 0.001, Pace(0.0, 0.01), 0.0),
    ],
)
async def test_a_room_rests_for_what_was_written_beside_the_loop_where_more_comes(
    messages: int, beside: float, pace: Pace, rest: float
) -> None:
    """As long as that took, four milliseconds at least, up to the cap; not where there are no rests.

    A message that came alone makes no rest: the next one would only wait.
    """
    loop = asyncio.get_running_loop()
    core = Core()
    room = core.pod.rooms.enter(RoomName("large"))
    room.resting, started = True, loop.time()
    Rests(loop, pace, lambda _: None).begin([room], 0.0, messages, beside)
    assert room.resting == bool(rest)
    while room.resting:
        await asyncio.sleep(0)
    assert loop.time() - started >= rest - 0.001


async def test_a_small_room_does_not_wait_for_a_large_one() -> None:
    """Its members are written by the loop, also where they are in the large room too."""
    beside = Beside()
    core = Core(group_writer=beside)
    members = [core.join("large") for _ in range(LARGE_ROOM)]
    speaker, heard = members[0]
    core.say(speaker, type="join", room="small")
    _, socket = core.join("small")
    await passes()
    core.say(speaker, type="broadcast", room="large", payload="large")
    core.say(speaker, type="broadcast", room="small", payload="small")
    await passes()
    assert payloads(socket.heard()) == payloads(heard.heard()) == ["small"]
    core.say(speaker, type="broadcast", room="small", payload="again")
    await passes()
    assert payloads(socket.heard()) == ["small", "again"]
    beside.make()
    assert payloads(heard.heard()) == ["small", "large", "again"]


async def test_a_slow_member_is_held_back_and_a_closed_one_is_left_out() -> None:
    """As where the loop writes."""
    beside = Beside()
    core = Core(group_writer=beside, send_buffer_bytes=65536)
    members = [core.join("large") for _ in range(LARGE_ROOM + 2)]
    await passes()
    members[0][1].waiting = 100_000
    members[1][1].gone = True
    core.say(members[2][0], type="broadcast", room="large", payload=1)
    await passes()
    [(group, _)] = beside.groups
    assert group.transports == [socket for _, socket in members[2:]]
    assert len(set(group.buffers)) == 1


async def test_who_is_in_two_large_rooms_gets_one_write_of_both() -> None:
    """As where the loop writes: a write costs the same for one message as for fifty."""
    beside = Beside()
    core = Core(group_writer=beside)
    members = [core.join("one") for _ in range(LARGE_ROOM)]
    for connection, _ in members:
        core.say(connection, type="join", room="two")
    await passes()
    before = [len(socket.writes) for _, socket in members]
    for room in ("one", "two"):
        core.say(members[0][0], type="broadcast", room=room, payload=room)
    await passes()
    beside.make()
    assert [payloads(socket.heard()) for _, socket in members] == [["one", "two"]] * LARGE_ROOM
    # The sender has its acks before, in another write.
    assert [len(socket.writes) - 1 for _, socket in members[1:]] == before[1:]


async def test_members_that_come_and_go_get_what_was_published_while_they_were_there() -> None:
    """Also where most others share one buffer, and where that was made ready before."""
    beside = Beside()
    core = Core(group_writer=beside)
    members = [core.join("large") for _ in range(LARGE_ROOM + 1)]
    await passes()
    speaker, left = members[0], members.pop()
    for payload in (1, 2, 3):
        core.say(speaker[0], type="broadcast", room="large", payload=payload)
        if payload == 1:
            late = core.join("large")
            core.say(left[0], type="leave", room="large")
        await passes()
        beside.make()
    assert [payloads(socket.heard()) for _, socket in members] == [[1, 2, 3]] * LARGE_ROOM
    assert (payloads(late[1].heard()), payloads(left[1].heard())) == ([2, 3], [1])


async def test_members_that_are_told_their_positions_are_written_beside_the_loop_too() -> None:
    """Each write ends with the positions of its client. One for whom something waits is written by the loop."""
    beside = Beside()
    core = Core(Policy("kept", history=Retention(10, 60.0)), group_writer=beside)
    wire = LineWire(tailed=True)
    told = [core.join("kept", wire=wire) for _ in range(LARGE_ROOM)]
    plain = core.join("kept")
    await passes()
    told[0][1].waiting = 1
    before = [len(socket.writes) for _, socket in told]
    core.say(plain[0], type="broadcast", room="kept", payload=1)
    await passes()
    [(group, _)] = beside.groups
    assert group.transports == [plain[1], *(socket for _, socket in told[1:])]
    beside.make()
    assert [len(socket.writes) for _, socket in told] == [one + 1 for one in before]
    for connection, socket in told:
        assert connection.positions is not None
        assert socket.writes[-1].endswith(tail(connection.positions))
        assert b"payload=1" in socket.writes[-1]
