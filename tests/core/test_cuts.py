"""A client that is cut off after any write knows what it has, and comes back without a loss and without a repeat."""

import asyncio
import time

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.policies import Policy, Retention, Slow
from forestay.protocol import replies
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.support.core import Core, RecordingTransport, at_once, passes
from tests.support.line_wire import LineWire, lines, positions
from tests.support.virtual_time import stall, virtual

KEPT = Retention(2000, 3600.0)
STEPS = ["say", "say", "say", "burst", "quiet", "binary", "join", "join", "resume", "leave", "guest", "pass", "pass"]
STEPS += ["wait", "stick", "free", "end"]
POLICIES = (Policy("kept.*", history=KEPT, join_leave=True), Policy("drop.*", history=KEPT, slow=Slow.DROP_OLDEST))


class PlacedLine(LineWire):
    """A tailed wire whose replies say where live messages start."""

    def __init__(self) -> None:
        super().__init__(tailed=True)

    def reply(self, reply: replies.Reply) -> bytes:
        line = super().reply(reply)
        if isinstance(reply, replies.Joined) and reply.position is not None:
            return line[:-1] + f"\toffset={reply.position.offset}\n".encode()
        return line


class TakingTime(RecordingTransport):
    """Each write takes a moment, so that rooms rest after it."""

    def write(self, data: bytes, /) -> None:
        super().write(data)
        stall(0.001)


class Reader:
    """A client that checks each write: no message twice, none left out, and the positions are those of what it has."""

    def __init__(self) -> None:
        self.places: dict[str, int | None] = {}
        """The offset of the last message of each room with history that it is in; None after a resync."""
        self.starts: dict[str, int] = {}
        """Where it said that it was, in a join that is under way."""
        self.own: dict[str, set[int]] = {"kept.a": set(), "kept.b": set(), "drop.a": set()}
        """Offsets of its own messages that it did not want back."""
        self.told: dict[RoomName, Position] | None = None

    def read(self, data: bytes) -> None:
        """Read one write."""
        found, before = lines(data), dict(self.places)
        for name, id, room, fields in found:
            match name:
                case "ack" if id.startswith("quiet") and "offset" in fields:
                    self.own[id.partition(" ")[2]].add(int(fields["offset"]))
                case "joined" if "offset" in fields and room not in self.places:
                    since = self.starts.pop(room, None)
                    self.places[room] = since if fields.get("recovered") == "true" else int(fields["offset"])
                case "left":
                    self.places.pop(room, None)
                case "resync":
                    self.places[room] = None
                case "message" if "offset" in fields:
                    self._move(room, int(fields["offset"]), last=False)
                case "tail":
                    self.told = positions(data)
                    assert self.told is not None
                    assert self.told.keys() == self.places.keys()
                    for told, position in self.told.items():
                        self._move(told, position.offset, last=True)
                case _:
                    pass
        if self.told is not None or self.places:
            room_messages = {"message", "user-joined", "user-left"} & {name for name, *_ in found}
            assert found[-1][0] == "tail" or (not room_messages and self.places == before)

    def _move(self, room: str, offset: int, *, last: bool) -> None:
        """The room has come to `offset`, with a message or (`last`) with what was written before."""
        at = self.places[room]
        if at is not None:
            assert at <= offset if last else at < offset, "twice"
            between = set(range(at + 1, offset + last))
            assert between <= self.own[room], "left out"
        self.places[room] = offset


class Player:
    """A client of the property test, and what it read of each connection that it had."""

    def __init__(self, core: Core, number: int) -> None:
        self.core = core
        self.user = f"player-{number}"
        self.wire = PlacedLine()
        self.lives: list[tuple[list[bytes], Reader]] = []
        self.connect()

    def connect(self) -> None:
        """Come in, with no room."""
        self.transport = TakingTime(self.wire)
        identity = Identity(self.user, Rights({"**": "rw"}), time.time() + 3600)
        self.connection = at_once(self.core.pod.sessions.start(identity, self.transport))
        self.core.pod.sessions.greet(self.connection)
        self.reader = Reader()
        self.read = 0
        self.lives.append((self.transport.writes, self.reader))

    def act(self, step: str, room: str, number: int, start: dict[str, dict[str, object]]) -> None:
        """Do one step, if it is one of a player."""
        one = self.connection
        match step:
            case "quiet":
                self.core.say(one, type="broadcast", room=room, payload=number, echo=False, id=f"quiet {room}")
            case "binary":
                self.core.say(one, type="bind", room=room, payload={"type": 1})
                self.core.send_binary(one, b"\0\0\0\1" + number.to_bytes(4, "big"))
            case "join" | "leave":
                self.core.say(one, type=step, room=room)
            case "resume" if room in start and room not in one.rooms:
                self.reader.starts[room] = 0
                self.core.say(one, type="join", room=room, since=start[room])
            case "stick":
                self.transport.stuck = True
            case "free":
                self.transport.stuck, self.transport.waiting = False, 0
            case "end":
                one.end(ENDINGS[CloseCode.GOING_AWAY])
            case _:
                pass

    def check(self) -> None:
        """Read what was written since the last look. A connection that has ended is followed by a new one."""
        for data in self.transport.writes[self.read :]:
            self.reader.read(data)
        self.read = len(self.transport.writes)
        if self.connection.ended is not None:
            self.connect()


class World:
    """Two pods on one bus. The players are on the first one."""

    def __init__(self) -> None:
        exchange = Exchange(asyncio.get_running_loop().time)
        self.core = Core(*POLICIES, bus=MemoryBus(exchange), send_buffer_bytes=4096, flush_rest=1, ping_interval=3600)
        self.other = Core(*POLICIES, bus=MemoryBus(exchange), ping_interval=3600)
        self.speaker, _ = self.other.connect()

    async def act(self, step: str, room: str, number: int) -> None:
        """Do one step, if it is one of the others in the rooms."""
        match step:
            case "say" | "burst":
                for _ in range(30 if step == "burst" else 1):
                    self.other.say(self.speaker, type="broadcast", room=room, payload=[number, "x" * 200])
            case "guest":
                self.core.join(room)
            case "pass":
                await passes()
            case "wait":
                await asyncio.sleep(0.2)
            case _:
                pass


steps = st.lists(
    st.tuples(
        st.sampled_from(STEPS),
        st.integers(0, 1),
        st.sampled_from(["kept.a", "kept.b", "drop.a", "live"]),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_a_client_is_told_at_each_write_exactly_what_it_has(plan: list[tuple[str, int, str]]) -> None:
    """Through joins, replays, leaves, slow times, rests and ends; and from each cut it comes back without a loss."""

    @virtual
    async def run() -> None:
        world = World()
        start = await beginning(world.other)
        players = [Player(world.core, number) for number in range(2)]
        for number, (step, who, room) in enumerate(plan):
            await world.act(step, room, number)
            players[who].act(step, room, number, start)
            for each in players:
                each.check()
        await asyncio.sleep(0.2)
        for each in players:
            each.transport.stuck, each.transport.waiting = False, 0
        await asyncio.sleep(2)
        for each in players:
            each.check()
            for room, told in (each.reader.told or {}).items():
                assert told == world.core.pod.recovery.position(room)
            for writes, reader in each.lives:
                await come_back_from_each_cut(world.other, writes, reader.own)

    run()


async def beginning(core: Core) -> dict[str, dict[str, object]]:
    """The position before the first message of each room with history."""
    connection, transport = core.connect()
    for room in ("kept.a", "kept.b", "drop.a"):
        core.say(connection, type="join", room=room)
    await asyncio.sleep(0.01)
    joined = [said for said in transport.heard() if said["type"] == "joined"]
    return {said["room"]: {"epoch": said["payload"]["epoch"], "offset": 0} for said in joined}


async def come_back_from_each_cut(core: Core, writes: list[bytes], own: dict[str, set[int]]) -> None:
    """A client that read only so many of the writes comes back to another pod, and misses and repeats nothing."""
    for cut in range(0, len(writes) + 1, max(1, len(writes) // 8)):
        reader = Reader()
        reader.own = own
        for data in writes[:cut]:
            reader.read(data)
        if reader.told is None:
            continue
        connection, transport = core.connect(wire=PlacedLine())
        transport.writes.clear()
        assert await core.pod.rejoining.rejoin(connection, reader.told)
        await asyncio.sleep(1)
        for data in transport.writes:
            for _, _, room, fields in lines(data):
                if "offset" in fields:
                    reader._move(room, int(fields["offset"]), last=False)
        for room in reader.told:
            top = core.pod.recovery.position(room)
            assert top is not None
            reader._move(room, top.offset, last=True)
        core.pod.sessions.lost(connection, ENDINGS[CloseCode.NORMAL])
