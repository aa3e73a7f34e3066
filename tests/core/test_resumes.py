"""What joiners missed is sent as they take it: bounded in bytes, in order, nothing lost and nothing twice."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from forestay.bus.memory.bus import MemoryBus
from forestay.core.fanout.connection import Connection
from forestay.core.ports.bus import BusLost, Page, Query
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.policies import Policy, Retention, Slow
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.names import RoomName
from tests.support.core import Core, RecordingTransport, frames, passes
from tests.support.virtual_time import virtual

STALLED = 30.0
KEPT = Policy("**", history=Retention(1000, 3600.0))
LIMIT = 64 * 1024
BODY = "x" * 1000
# What may wait for a client: the part that was sent last, and as much as counts as little.
BOUND = LIMIT // 4 + LIMIT // 4 + 4096


class CountingBus(MemoryBus):
    """Counts the reads of histories, and how many there are at the same time."""

    reads = 0
    now = 0
    most = 0
    away = False
    broken = False
    takes = 0.001

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        self.reads += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.takes)
            if self.away:
                raise BusLost
            if self.broken:
                raise ZeroDivisionError
            return await super().history(room, query, kept)
        finally:
            self.now -= 1


class World:
    """A pod, a speaker that is a member of `a`, and numbered messages."""

    def __init__(self, policy: Policy = KEPT) -> None:
        self.bus = CountingBus()
        self.core = Core(policy, bus=self.bus, send_buffer_bytes=LIMIT, ping_interval=3600)
        self.speaker, _ = self.core.connect("speaker")
        self.said = 0
        self.start: dict[str, Any] = {}

    async def open(self, number: int, room: str = "a") -> None:
        """Say `number` messages that a client which joins with `start` has missed."""
        self.core.say(self.speaker, type="join", room=room)
        await asyncio.sleep(0.1)
        self.start = {"epoch": self.core.pod.recovery.position(RoomName(room)).epoch, "offset": 0}  # type: ignore[union-attr]
        self.said = 0
        self.say(number, room)
        await asyncio.sleep(0.1)

    def say(self, number: int, room: str = "a") -> None:
        for _ in range(number):
            self.said += 1
            self.core.say(self.speaker, type="broadcast", room=room, payload=[self.said, BODY])

    def resume(self, *rooms: str, taking: bool = False) -> tuple[Connection, RecordingTransport]:
        """A client that joins with `start`. It takes nothing unless it is `taking`."""
        connection, transport = self.core.connect("ada")
        transport.stuck = not taking
        for room in rooms or ("a",):
            self.core.say(connection, type="join", room=room, since=self.start)
        return connection, transport

    async def take(self, transport: RecordingTransport) -> None:
        """The client takes all that is sent, until nothing more comes."""
        sent = -1
        while sent != len(transport.writes):
            sent = len(transport.writes)
            transport.waiting = 0
            await asyncio.sleep(1)


def numbers(transport: RecordingTransport, kind: str = "broadcast") -> list[Any]:
    """The numbers of the messages that the client was sent, and other replies by their type."""
    return [said["payload"][0] for said in transport.heard() if said["type"] == kind]


def replies(transport: RecordingTransport) -> Iterator[str]:
    return (said["type"] for said in transport.heard() if said["type"] not in ("welcome", "broadcast"))


@virtual
async def test_a_client_that_does_not_read_a_resume_holds_a_bounded_number_of_bytes() -> None:
    """A part waits for it, not the history; what it takes is followed by the rest, all of it once and in order."""
    world = World()
    await world.open(300)
    _, transport = world.resume()
    await asyncio.sleep(10)
    assert 0 < transport.waiting <= BOUND
    world.say(50)
    await asyncio.sleep(10)
    assert transport.waiting <= BOUND
    await world.take(transport)
    world.say(5)
    await world.take(transport)
    assert numbers(transport) == list(range(1, 356))
    assert list(replies(transport)) == ["joined"]
    assert (transport.ending, transport.reading_held) == (None, False)


@virtual
async def test_ten_resumes_of_one_connection_hold_no_more_than_a_few_parts() -> None:
    """The rooms of a connection share what may wait for it."""
    world = World()
    rooms = [f"room-{number}" for number in range(10)]
    for room in rooms:
        await world.open(100, room)
    connection, transport = world.core.connect("ada")
    transport.stuck = True
    for room in rooms:
        start = {"epoch": world.core.pod.recovery.position(RoomName(room)).epoch, "offset": 0}  # type: ignore[union-attr]
        world.core.say(connection, type="join", room=room, since=start)
    await asyncio.sleep(20)
    assert transport.waiting <= 6 * LIMIT // 4
    await world.take(transport)
    for room in rooms:
        heard = [
            said["payload"][0] for said in transport.heard() if said["type"] == "broadcast" and said["room"] == room
        ]
        assert heard == list(range(1, 101))


@virtual
async def test_live_messages_during_a_resume_are_neither_lost_nor_twice() -> None:
    """However the room goes on while the client takes its parts, the numbers rise by one."""
    world = World()
    await world.open(100)
    _, transport = world.resume(taking=True)
    for _ in range(40):
        world.say(7)
        await asyncio.sleep(0.0007)
    await asyncio.sleep(1)
    assert numbers(transport) == list(range(1, 381))


@virtual
async def test_messages_without_a_position_keep_their_place_in_a_resume() -> None:
    """A binary message comes after the messages that it was said after, and before those that came later."""
    world = World()
    await world.open(100)
    world.core.say(world.speaker, type="bind", room="a", payload={"binary_type": 7})
    await passes()
    connection, transport = world.resume()
    await asyncio.sleep(1)
    for number in range(10):
        world.core.send_binary(world.speaker, b"\0\0\0\x07" + bytes([number]))
        world.say(1)
    assert connection.rooms == {"a"}
    await world.take(transport)
    found: list[object] = []
    for text in frames(b"".join(transport.writes)):
        if text[:4] == b"\0\0\0\x07":
            found.append(f"binary {text[4]}")
        elif (said := json.loads(text))["type"] == "broadcast":
            found.append(said["payload"][0])
    mixed = [each for number in range(10) for each in (f"binary {number}", 101 + number)]
    assert found == [*range(1, 101), *mixed]


@virtual
async def test_too_many_messages_without_a_position_are_a_declared_loss() -> None:
    """What is kept for one client is bounded; it gets `resync`, and live messages go on."""
    world = World()
    await world.open(100)
    world.core.say(world.speaker, type="bind", room="a", payload={"binary_type": 7})
    await passes()
    _, transport = world.resume()
    await asyncio.sleep(1)
    for _ in range(50):
        world.core.send_binary(world.speaker, b"\0\0\0\x07" + b"x" * 10_000)
    await world.take(transport)
    world.say(1)
    await passes()
    assert numbers(transport) == list(range(1, 102))
    assert list(replies(transport)) == ["joined", "resync"]
    assert len([text for text in frames(b"".join(transport.writes)) if text[:4] == b"\0\0\0\x07"]) == 26


@virtual
async def test_a_message_without_echo_does_not_come_back_by_a_resume() -> None:
    """A client that says something while it is still sent what it missed does not get it, where it asked for that."""
    world = World()
    await world.open(100)
    connection, transport = world.resume()
    await asyncio.sleep(1)
    world.core.say(connection, type="broadcast", room="a", payload=["own", ""], echo=False)
    world.said += 1
    world.say(1)
    await world.take(transport)
    assert numbers(transport) == [*range(1, 101), 102]


@virtual
async def test_a_leave_during_a_resume_ends_it() -> None:
    """Nothing of the room comes after `left`, and a join after that starts anew."""
    world = World()
    await world.open(200)
    connection, transport = world.resume()
    await asyncio.sleep(1)
    world.core.say(connection, type="leave", room="a", id="1")
    await passes()
    sent = len(numbers(transport))
    world.say(1)
    await world.take(transport)
    assert (list(replies(transport)), connection.rooms) == (["joined", "left"], set())
    assert len(numbers(transport)) == sent < 200
    world.core.say(connection, type="join", room="a", since=world.start)
    await world.take(transport)
    assert numbers(transport)[sent:] == list(range(1, 202))


@virtual
async def test_a_right_that_ends_during_a_resume_ends_it() -> None:
    """A renewed token counts at once: `left`, and nothing more of the room."""
    world = World()
    await world.open(200)
    connection, transport = world.resume()
    await asyncio.sleep(1)
    world.core.pod.sessions.renew(connection, Identity("ada", Rights({"b": "r"}), connection.identity.expires_at))
    await passes()
    sent = len(numbers(transport))
    await world.take(transport)
    assert list(replies(transport)) == ["joined", "left"]
    assert len(numbers(transport)) == sent < 200


@virtual
async def test_a_history_that_moves_on_before_the_client_reads_is_a_declared_loss() -> None:
    """The client gets `resync` with `lost` and a position, and the messages after it."""
    world = World(Policy("**", history=Retention(100, 3600.0)))
    await world.open(100)
    _, transport = world.resume()
    await asyncio.sleep(1)
    world.say(200)
    await world.take(transport)
    world.say(3)
    await world.take(transport)
    [resync] = [said for said in transport.heard() if said["type"] == "resync"]
    assert resync["payload"] == {"reason": "lost", "epoch": world.start["epoch"], "offset": 300}
    heard = numbers(transport)
    assert heard == [*range(1, len(heard) - 2), 301, 302, 303]


@pytest.mark.parametrize("slow", Slow)
@virtual
async def test_a_client_that_stops_reading_its_resume_is_slow_after_a_while(slow: Slow) -> None:
    """The policy of the room decides: its connection ends with 4413, or it gets `resync` and the live messages."""
    world = World(Policy("**", history=Retention(1000, 3600.0), slow=slow))
    await world.open(300)
    connection, transport = world.resume()
    await asyncio.sleep(STALLED - 1)
    assert (transport.ending, list(replies(transport))) == (None, ["joined"])
    await asyncio.sleep(2)
    if slow is Slow.DISCONNECT:
        assert transport.ending == ENDINGS[CloseCode.TOO_SLOW]
        assert connection.rooms == set()
    else:
        assert transport.ending is None
        assert list(replies(transport)) == ["joined", "resync"]
        sent = len(numbers(transport))
        await world.take(transport)
        world.say(1)
        await world.take(transport)
        assert numbers(transport)[sent:] == [301]


@virtual
async def test_a_client_that_reads_its_resume_slowly_is_not_slow() -> None:
    """It takes a little again and again, for minutes, while the room goes on, and misses nothing."""
    world = World()
    await world.open(300)
    _, transport = world.resume()
    for _ in range(200):
        await asyncio.sleep(STALLED / 10)
        transport.waiting = max(0, transport.waiting - 3000)
        world.say(1)
    await world.take(transport)
    assert numbers(transport) == list(range(1, 501))
    assert (transport.ending, list(replies(transport))) == (None, ["joined"])


@virtual
async def test_a_bus_that_is_away_during_a_resume_is_asked_again() -> None:
    """The rest comes when it is back."""
    world = World()
    await world.open(200)
    _, transport = world.resume()
    await asyncio.sleep(1)
    world.bus.away = True
    await world.take(transport)
    await asyncio.sleep(20)
    world.bus.away = False
    await world.take(transport)
    assert numbers(transport) == list(range(1, 201))


@virtual
async def test_nothing_of_a_resume_is_left_when_its_connection_ends() -> None:
    """Its task ends, and the room and the bus forget the member."""
    world = World()
    await world.open(300)
    before = len(asyncio.all_tasks())
    connection, _ = world.resume()
    await asyncio.sleep(1)
    assert len(asyncio.all_tasks()) == before + 1
    connection.end(ENDINGS[CloseCode.GOING_AWAY])
    await passes()
    assert len(asyncio.all_tasks()) == before
    room = world.core.pod.rooms.get(RoomName("a"))
    assert room is not None
    assert (room.size, room.resuming) == (1, None)


@virtual
async def test_a_bug_in_a_resume_ends_that_connection_alone() -> None:
    """It ends with 1011, the bug is reported, and the others go on."""
    bugs: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
    world = World()
    await world.open(300)
    _, transport = world.resume()
    await asyncio.sleep(1)
    world.bus.broken = True
    transport.waiting = 0
    await asyncio.sleep(1)
    assert transport.ending == ENDINGS[CloseCode.INTERNAL_ERROR]
    assert [type(context["exception"]) for context in bugs] == [ZeroDivisionError]
    assert world.speaker.ended is None


@virtual
async def test_many_that_resume_from_one_position_share_the_reads_of_the_history() -> None:
    """A storm of resumes reads each part a few times, and not once for each client."""
    world = World()
    await world.open(30)
    clients = [world.resume(taking=True)[1] for _ in range(200)]
    await asyncio.sleep(5)
    assert all(numbers(transport) == list(range(1, 31)) for transport in clients)
    assert world.bus.reads < 50


@virtual
async def test_resumes_read_the_history_a_few_at_a_time() -> None:
    """A storm of resumes from different positions is bounded on the pod: so many reads at once, and no more."""
    world = World()
    await world.open(200)
    clients = []
    for offset in range(200):
        world.start["offset"] = offset
        clients.append(world.resume(taking=True)[1])
    await asyncio.sleep(5)
    assert all(numbers(one) == list(range(offset + 1, 201)) for offset, one in enumerate(clients))
    assert world.bus.most <= 32


@virtual
async def test_a_storm_of_resumes_that_takes_its_time_refuses_nobody() -> None:
    """A join that waits for its turn is not late, however long the others before it take together."""
    world = World()
    await world.open(200)
    world.bus.takes = 2.0
    clients = []
    for offset in range(200):
        world.start["offset"] = offset
        clients.append(world.resume(taking=True)[1])
    await asyncio.sleep(600)
    assert all(numbers(one) == list(range(offset + 1, 201)) for offset, one in enumerate(clients))
    assert {reply for one in clients for reply in replies(one)} == {"joined"}


@virtual
async def test_a_bus_that_does_not_answer_refuses_a_whole_storm_in_time() -> None:
    """Also those whose turn has not come, so that they can ask again; nothing of them is left."""
    world = World()
    await world.open(200)
    before = len(asyncio.all_tasks())
    world.bus.takes = 3600.0
    clients = []
    for offset in range(200):
        world.start["offset"] = offset
        clients.append(world.resume(taking=True))
    await asyncio.sleep(5.1)
    for connection, transport in clients:
        assert [said["payload"]["code"] for said in transport.heard() if said["type"] == "error"] == ["unavailable"]
        assert not world.core.pod.joins.pending(connection)
    # Reads that began go on, for whoever asks the same next.
    assert len(asyncio.all_tasks()) <= before + 32
