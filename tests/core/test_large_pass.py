"""A pass over a large room goes in steps. Each takes what is pending when it begins, and nobody has a gap."""

import random
import re

import pytest

from forestay.core.fanout.audience import MOST_MEMBERS
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.rooms import LARGE_ROOM
from forestay.core.rules.policies import Policy, Retention, Slow
from tests.core.test_group_writer import Beside, payloads
from tests.support.core import Core, RecordingTransport, passes
from tests.support.line_wire import LineWire

Member = tuple[Connection, RecordingTransport]


async def crowd(core: Core, number: int) -> list[Member]:
    """Members of the room `large`, whose replies are written."""
    members = [core.join("large") for _ in range(number)]
    await passes()
    return members


def publish(core: Core, speaker: Member, *said: object, **fields: object) -> None:
    for payload in said:
        core.say(speaker[0], type="broadcast", room="large", payload=payload, **fields)


def heard(members: list[Member]) -> list[list[object]]:
    return [payloads(socket.heard()) for _, socket in members]


async def test_those_who_are_written_last_get_what_came_meanwhile() -> None:
    """The first ones get it in the next pass. Each member gets all, in order, in as few writes as there are."""
    beside = Beside()
    core = Core(group_writer=beside)
    members = await crowd(core, 2 * MOST_MEMBERS)
    [speaker, _] = speakers = [core.connect(), core.connect()]
    first, last = members[:MOST_MEMBERS], members[MOST_MEMBERS:]
    publish(core, speaker, 1)
    await passes()
    publish(core, speakers[1], 2)
    await passes()
    before = [len(socket.writes) for _, socket in last]
    beside.make()
    await passes()
    assert heard(first) == [[1]] * MOST_MEMBERS
    beside.make()
    assert heard(last) == [[1, 2]] * MOST_MEMBERS
    assert [len(socket.writes) for _, socket in last] == [number + 1 for number in before]
    await passes()
    [(group, _)] = beside.groups
    assert group.transports == [socket for _, socket in first]
    beside.make()
    assert heard(members) == [[1, 2]] * len(members)
    await passes()
    assert beside.groups == []


async def test_a_message_is_reported_once_when_all_members_have_it() -> None:
    """One that came during the pass belongs to the next one, although some have it already."""
    beside = Beside()
    core = Core(group_writer=beside)
    await crowd(core, 2 * MOST_MEMBERS)
    speaker = core.connect()
    publish(core, speaker, 1)
    await passes()
    publish(core, speaker, 2)
    await passes()
    for reported in (0, 1, 2):
        beside.make()
        await passes()
        assert core.traffic.waits.count == reported


async def test_who_comes_goes_or_is_left_out_between_two_steps_gets_what_it_is_owed() -> None:
    """Whichever step it is in."""
    beside = Beside()
    core = Core(group_writer=beside)
    members = await crowd(core, 2 * MOST_MEMBERS)
    speaker = core.connect()
    publish(core, speaker, 1)
    await passes()
    publish(core, members[-1], 2, echo=False)
    publish(core, members[0], 3, echo=False)
    leaving = [members[5], members[-5]]
    for connection, _ in leaving:
        core.say(connection, type="leave", room="large")
    late = [core.join("large") for _ in range(3)]
    publish(core, speaker, 4)
    while beside.groups:
        beside.make()
        await passes()
    assert heard(leaving) == [[1, 2, 3]] * 2
    assert heard(late) == [[4]] * 3
    assert heard([members[-1], members[0]]) == [[1, 3, 4], [1, 2, 4]]
    others = [one for one in members[1:-1] if one not in leaving]
    assert heard(others) == [[1, 2, 3, 4]] * len(others)


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_between_steps_nobody_has_a_gap_or_hears_twice(seed: int) -> None:
    """Each member gets what was published from its join to its leave, in order: on two wires, one of them tailed."""
    chance = random.Random(seed)
    beside = Beside()
    core = Core(Policy("large", history=Retention(1000, 60.0)), group_writer=beside, send_buffer_bytes=2**20)
    tailed = LineWire(tailed=True)
    speaker, published = core.connect(), 0
    told: list[tuple[Connection, RecordingTransport, int, int]] = []
    present = [(core.join("large", wire=chance.choice([None, None, tailed])), 0) for _ in range(3 * MOST_MEMBERS)]
    await passes()
    for _ in range(200):
        match chance.randrange(6):
            case 0:
                (connection, socket), since = present.pop(chance.randrange(len(present)))
                core.say(connection, type="leave", room="large")
                told.append((connection, socket, since, published))
            case 1:
                # It gets what is published from now on, once the loop has carried out what was published before.
                await passes()
                present.append((core.join("large", wire=chance.choice([None, tailed])), published))
                await passes()
            case 2 if beside.groups:
                beside.make()
            case 3:
                await passes()
            case _:
                published += 1
                publish(core, speaker, published)
    await passes()
    while beside.groups:
        beside.make()
        await passes()
    told += [(connection, socket, since, published) for (connection, socket), since in present]
    for connection, socket, since, until in told:
        if connection.wire is tailed:
            got: list[object] = [int(found) for found in re.findall(rb"payload=(\d+)", b"".join(socket.writes))]
        else:
            got = payloads(socket.heard())
        assert got == list(range(since + 1, until + 1))


async def test_a_room_is_large_by_all_its_members_on_one_wire() -> None:
    """Also where most of each audience have left: else the loop would write to hundreds in one go."""
    beside = Beside()
    core = Core(group_writer=beside)
    members = await crowd(core, 3 * MOST_MEMBERS)
    left = [one for at, one in enumerate(members) if at % MOST_MEMBERS < LARGE_ROOM - 1]
    for member in members:
        if member not in left:
            core.say(member[0], type="leave", room="large")
    await passes()
    while beside.groups:
        beside.make()
        await passes()
    publish(core, core.connect(), 1)
    await passes()
    assert heard(left) == [[]] * len(left)
    # The audiences are small, so they have one step together.
    [(group, _)] = beside.groups
    assert len(group.transports) == len(left)
    beside.make()
    assert heard(left) == [[1]] * len(left)


async def test_a_message_whose_last_members_leave_during_the_pass_is_reported_after_it() -> None:
    """They got it with their leave. Nothing is pending for the others, and it waits for no later message."""
    beside = Beside()
    core = Core(group_writer=beside)
    first, last = await crowd(core, MOST_MEMBERS), await crowd(core, MOST_MEMBERS)
    speaker = core.connect()
    publish(core, speaker, 1)
    await passes()
    publish(core, speaker, 2)
    for connection, _ in first:
        core.say(connection, type="leave", room="large")
    for _ in range(3):
        await passes()
        while beside.groups:
            beside.make()
    assert heard(first) == heard(last) == [[1, 2]] * MOST_MEMBERS
    await passes()
    assert core.traffic.waits.count == 2


async def test_a_room_that_is_about_to_be_written_is_in_no_other_pass() -> None:
    """A message that comes while the loop writes to small rooms, before its turn, goes with the pass that begins."""
    beside = Beside()
    slow = Policy("small", slow=Slow.DISCONNECT)
    core = Core(
        slow,
        Policy("large", presence=True, join_leave=True),
        group_writer=beside,
        send_buffer_bytes=65536,
        presence_grace=0,
    )
    members = await crowd(core, 2 * MOST_MEMBERS)
    stuck = members[0]
    core.say(stuck[0], type="join", room="small")
    await passes()
    while beside.groups:
        beside.make()
        await passes()
    stuck[1].waiting = 100_000
    speaker = core.connect()
    publish(core, speaker, 1)
    core.say(speaker[0], type="broadcast", room="small", payload=1)
    await passes()
    assert stuck[1].ending is not None
    assert len(beside.groups) == 1
