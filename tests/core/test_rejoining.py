"""A client that brings back its positions is in all of its rooms with nothing lost, or in none of them."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.core.fanout.connection import Connection
from forestay.core.ports.bus import BusLost, Page, Query
from forestay.core.rules.policies import Policy, Retention
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode
from forestay.protocol.names import RoomName, personal_room
from forestay.protocol.position import Position
from tests.support.core import Core, RecordingTransport, passes
from tests.support.line_wire import LineWire, lines, positions
from tests.support.virtual_time import virtual

KEPT = (
    Policy("kept.*", history=Retention(100, 3600.0), presence=True, join_leave=True),
    Policy("short.*", history=Retention(2, 3600.0)),
    Policy("@me", history=Retention(100, 3600.0)),
)
ROOMS = ("kept.a", "kept.b")
TIMEOUT = 5.0
WIRE = LineWire(tailed=True)


class AwayBus(MemoryBus):
    """A bus that cannot read a history while it is `away`."""

    away = False

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        await asyncio.sleep(0.001)
        if self.away:
            raise BusLost
        return await super().history(room, query, kept)


class World:
    """Two pods on one bus, and a client that was in some rooms of the first one."""

    def __init__(self, rooms: int = 100, buffer: int = 2**20) -> None:
        """`rooms`: in which a connection may be. `buffer`: bytes that may wait for a client."""
        exchange = Exchange(asyncio.get_running_loop().time)
        self.bus = AwayBus(exchange)
        self.old = Core(*KEPT, bus=MemoryBus(exchange), ping_interval=3600)
        self.new = Core(
            *KEPT,
            bus=self.bus,
            ping_interval=3600,
            bus_timeout=TIMEOUT,
            rooms_per_connection=rooms,
            send_buffer_bytes=buffer,
        )
        self.speaker, _ = self.old.connect("speaker")

    async def say(self, room: str, *payloads: object) -> None:
        for payload in payloads:
            self.old.say(self.speaker, type="broadcast", room=room, payload=payload)
        await asyncio.sleep(0.01)

    async def leave(self, *rooms: str) -> Mapping[RoomName, Position]:
        """A client joins `rooms`, gets a message in each, and is gone. What it was told last."""
        connection, transport = self.old.connect("ada", wire=WIRE)
        for room in rooms:
            self.old.say(connection, type="join", room=room)
        await asyncio.sleep(0.01)
        for room in rooms:
            await self.say(room, "before")
        self.old.pod.sessions.lost(connection, ENDINGS[CloseCode.NORMAL])
        told = positions(b"".join(transport.writes))
        assert told is not None
        return told

    async def come_back(
        self, since: Mapping[RoomName, Position], rights: dict[str, str] | None = None
    ) -> tuple[bool, Connection, RecordingTransport]:
        connection, transport = await self.start(rights)
        return await self.new.pod.rejoining.rejoin(connection, since), connection, transport

    async def start(self, rights: dict[str, str] | None = None) -> tuple[Connection, RecordingTransport]:
        """A connection on the other pod that is not greeted yet."""
        connection, transport = self.new.connect("ada", rights, wire=WIRE)
        self.new.pod.sessions.first_words(connection)
        return connection, transport

    def nothing_left(self, connection: Connection) -> bool:
        """Whether the connection is in no room, awaits no join and is owed nothing."""
        inside = connection.rooms or self.new.pod.joins.pending(connection)
        return not (inside or connection.answers or connection.positions or len(self.new.pod.rooms))


def payloads(data: bytes) -> list[tuple[str, str]]:
    return [(room, fields["payload"]) for name, _, room, fields in lines(data) if name == "message"]


@virtual
async def test_a_client_gets_what_it_missed_in_all_of_its_rooms() -> None:
    """Without a reply to a join: the missed messages, then the positions, then live messages."""
    world = World()
    since = await world.leave(*ROOMS)
    await world.say("kept.a", 1, 2)
    await world.say("kept.b", 3)
    whole, connection, transport = await world.come_back(since)
    await passes()
    assert whole
    assert connection.rooms == set(ROOMS)
    heard = b"".join(transport.writes)
    assert sorted(payloads(heard)) == [("kept.a", "1"), ("kept.a", "2"), ("kept.b", "3")]
    assert {name for name, *_ in lines(heard)} == {"message", "tail"}
    await world.say("kept.b", 4)
    assert payloads(transport.writes[-1]) == [("kept.b", "4")]
    assert positions(b"".join(transport.writes)) == {
        room: world.new.pod.recovery.position(RoomName(room)) for room in ROOMS
    }


@virtual
async def test_the_first_words_of_a_client_that_is_back_say_its_positions() -> None:
    """What it missed comes before the welcome where it is greeted after that, and the positions come last."""
    world = World()
    since = await world.leave("kept.a")
    await world.say("kept.a", 1)
    connection, transport = await world.start()
    assert await world.new.pod.rejoining.rejoin(connection, since)
    world.new.pod.sessions.greet(connection)
    first = b"".join(transport.writes) + world.new.pod.sessions.first_words(connection)
    assert [name for name, *_ in lines(first)] == ["message", "tail", "welcome", "tail"]
    written = len(transport.writes)
    await passes()
    assert len(transport.writes) == written


@virtual
async def test_one_room_with_a_loss_keeps_the_client_out_of_all() -> None:
    """The messages that it missed in the others are dropped, and others do not see it come and go."""
    world = World()
    since = await world.leave("short.a", *ROOMS)
    await world.say("short.a", 1, 2, 3)
    await world.say("kept.a", 4)
    guest, witness = world.old.connect("witness", wire=LineWire())
    world.old.say(guest, type="join", room="kept.a")
    await asyncio.sleep(0.01)
    before = len(witness.writes)
    whole, connection, transport = await world.come_back(since)
    await passes()
    assert not whole
    assert world.nothing_left(connection)
    told = [name for data in witness.writes[before:] for name, *_ in lines(data)]
    assert told == ["user-joined"]
    written = len(transport.writes)
    await world.say("kept.a", 5)
    assert len(transport.writes) == written
    world.new.say(connection, type="join", room="kept.a", id="again")
    await asyncio.sleep(0.01)
    assert [name for name, *_ in lines(transport.writes[-1])] == ["joined", "tail"]


@pytest.mark.parametrize(
    "rights", [{"kept.a": "rw"}, {"**": "rw", "kept.b": ""}, {"**": "wp"}], ids=["not named", "taken", "other rights"]
)
@virtual
async def test_the_rights_are_asked_again(rights: dict[str, str]) -> None:
    """A token that no longer lets it into one of the rooms lets it into none, and no room is read."""
    world = World()
    since = await world.leave(*ROOMS)
    whole, connection, transport = await world.come_back(since, rights)
    assert not whole
    assert world.nothing_left(connection)
    assert not transport.writes


@virtual
async def test_the_personal_room_of_another_user_is_no_room_to_come_back_to() -> None:
    """Nor is a channel of the gateway, or a text that is no room. The client's own personal room is one."""
    world = World()
    [position] = (await world.leave("@me")).values()
    for name in (personal_room("bob"), RoomName("!p1"), RoomName("no room"), RoomName("@me")):
        whole, connection, _ = await world.come_back({name: position})
        assert not whole
        assert world.nothing_left(connection)
    whole, connection, _ = await world.come_back({personal_room("ada"): position})
    assert whole
    assert connection.rooms == {personal_room("ada")}


@virtual
async def test_more_rooms_than_allowed_or_none_at_all() -> None:
    """A client with too many rooms comes into none; one without rooms has lost nothing."""
    world = World(rooms=1)
    since = await world.leave(*ROOMS)
    whole, connection, _ = await world.come_back(since)
    assert not whole
    assert world.nothing_left(connection)
    whole, connection, _ = await world.come_back({})
    assert whole
    assert not connection.rooms


@virtual
async def test_a_connection_that_ends_meanwhile_is_in_no_room() -> None:
    """The caller gets its answer at once, whichever read was under way; one that has ended before is not let in."""
    world = World()
    since = await world.leave(*ROOMS)
    connection, _ = await world.start()
    under_way = asyncio.create_task(world.new.pod.rejoining.rejoin(connection, since))
    entering = asyncio.create_task(world.new.pod.rejoining.enter(connection, [RoomName("kept.c")]))
    await asyncio.sleep(0)
    connection.end(ENDINGS[CloseCode.REVOKED])
    async with asyncio.timeout(0.0001):
        assert await under_way is False
        await entering
    assert world.nothing_left(connection)
    assert await world.new.pod.rejoining.rejoin(connection, since) is False
    assert world.nothing_left(connection)


@virtual
async def test_a_lost_bus_keeps_the_client_out_of_all() -> None:
    """It has its answer within the time that a join may take."""
    world = World()
    since = await world.leave(*ROOMS)
    world.bus.away = True
    async with asyncio.timeout(TIMEOUT + 1):
        whole, connection, _ = await world.come_back(since)
    assert not whole
    assert world.nothing_left(connection)


@virtual
async def test_more_than_one_part_was_missed() -> None:
    """The client is back with the first part, and gets the others as it takes them."""
    world = World(buffer=65536)
    since = await world.leave("kept.a")
    await world.say("kept.a", *[[number, "x" * 1000] for number in range(60)])
    connection, transport = await world.start()
    transport.stuck = True
    assert await world.new.pod.rejoining.rejoin(connection, since)
    await asyncio.sleep(1)
    first = payloads(b"".join(transport.writes))
    assert 0 < len(first) < 60
    transport.stuck, transport.waiting = False, 0
    await asyncio.sleep(1)
    heard = b"".join(transport.writes)
    assert [json.loads(payload)[0] for _, payload in payloads(heard)] == list(range(60))


@virtual
async def test_much_was_missed_in_many_rooms() -> None:
    """The client is back although it takes nothing until then, and the first parts of all rooms are small together."""
    world = World(buffer=65536)
    rooms = [f"kept.{number}" for number in range(20)]
    since = await world.leave(*rooms)
    for room in rooms:
        await world.say(room, *[[number, "x" * 1000] for number in range(30)])
    connection, transport = await world.start()
    transport.stuck = True
    async with asyncio.timeout(TIMEOUT):
        assert await world.new.pod.rejoining.rejoin(connection, since)
    assert transport.waiting < 6 * 65536
    for _ in range(100):
        transport.waiting = 0
        await asyncio.sleep(0.5)
    heard = payloads(b"".join(transport.writes))
    for room in rooms:
        assert [json.loads(payload)[0] for where, payload in heard if where == room] == list(range(30))


@virtual
async def test_the_gateway_puts_a_connection_into_rooms() -> None:
    """It gets live messages without a reply; rooms that its token or its number of rooms does not allow are named."""
    world = World(rooms=2)
    connection, transport = await world.start({"kept.*": "r", "live": "r", "closed": "w"})
    rooms = [RoomName(name) for name in ("closed", "kept.a", "live", "kept.b")]
    refusals = await world.new.pod.rejoining.enter(connection, rooms)
    codes = {name: refusal.code for name, refusal in refusals.items()}
    assert codes == {"closed": ErrorCode.FORBIDDEN, "kept.b": ErrorCode.TOO_MANY_ROOMS}
    assert connection.rooms == {"kept.a", "live"}
    await world.say("live", 1)
    assert payloads(b"".join(transport.writes)) == [("live", "1")]
    assert "joined" not in {name for name, *_ in lines(b"".join(transport.writes))}
