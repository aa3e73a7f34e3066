"""Two large rooms that share members, in whatever state their passes are: what each member reads has no gap."""

import asyncio
import json
import random
from typing import Any

import pytest

from forestay.core.fanout.audience import MOST_MEMBERS
from forestay.core.rules.policies import Policy, Retention, Slow
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.core.test_cuts import PlacedLine
from tests.core.test_group_writer import Beside
from tests.support.core import Core, RecordingTransport, frames, passes
from tests.support.line_wire import lines, positions

KEPT = Retention(2000, 600.0)
ROOMS = ("one", "two")
GOING = ENDINGS[CloseCode.GOING_AWAY]
STEPS = 200
DOINGS = ["say"] * 6 + ["write"] * 4 + ["turn"] * 4 + ["join"] * 2 + ["resume"] * 4 + ["stick"] * 2
DOINGS += ["leave", "lose", "end", "free", "resync", "rest"]


class Member:
    """A client that reads what it got, and where in its rooms it was told to be."""

    def __init__(self, core: Core, wire: PlacedLine | None) -> None:
        self.core = core
        self.connection, self.socket = core.connect(wire=wire)
        self.rooms: set[str] = set()
        self.since: dict[str, list[int | None]] = {room: [] for room in ROOMS}
        """Where it asked to go on, for each of its joins."""

    def join(self, room: str, since: int | None = None) -> None:
        if room in self.rooms:
            return
        self.rooms.add(room)
        self.since[room].append(since)
        position = self.core.pod.recovery.position(RoomName(room))
        if since is None or position is None:
            self.core.say(self.connection, type="join", room=room)
        else:
            self.core.say(self.connection, type="join", room=room, since={"epoch": position.epoch, "offset": since})

    def leave(self, room: str) -> None:
        if room in self.rooms:
            self.rooms.discard(room)
            self.core.say(self.connection, type="leave", room=room)

    def read(self) -> dict[str, int | None]:
        """Check all that came. Returns the last offset of each room that it is in, None after a resync."""
        places: dict[str, int | None] = {}
        for kind, room, offset in _heard(self.socket):
            if kind == "joined":
                assert room not in places
                since = self.since[room].pop(0)
                places[room] = offset if since is None else since
                continue
            assert room in places, f"{kind} of a room that it is not in"
            if kind == "left":
                del places[room]
            elif kind == "resync":
                places[room] = None
            else:
                before = places[room]
                assert before is None or offset == before + 1
                places[room] = offset
        return places


def _heard(socket: RecordingTransport) -> list[tuple[str, str, int | None]]:
    """Kind, room and offset of what is about rooms."""
    data = b"".join(socket.writes)
    if isinstance(socket.wire, PlacedLine):
        found = [(kind, room, fields.get("offset")) for kind, _, room, fields in lines(data) if room in ROOMS]
        return [(kind, room, None if offset is None else int(offset)) for kind, room, offset in found]
    told = [one for one in map(json.loads, frames(data)) if one.get("room") in ROOMS]
    return [(one["type"], one["room"], _offset(one)) for one in told]


def _offset(one: dict[str, Any]) -> int | None:
    found: int | None = one["payload"]["offset"] if one["type"] == "joined" else one.get("offset")
    return found


class Crowd:
    """A pod with two large rooms, and its members."""

    def __init__(self, seed: int) -> None:
        self.chance, self.beside, self.tailed = random.Random(seed), Beside(), PlacedLine()
        policies = [Policy(room, history=KEPT, slow=Slow.DROP_OLDEST) for room in ROOMS]
        # Of a small buffer, a part of what a joiner missed has one or two messages.
        limit, rest = [(2**20, 1), (4096, 0), (4096, 1)][seed]
        self.core = Core(*policies, group_writer=self.beside, send_buffer_bytes=limit, flush_rest=rest)
        self.recovery = self.core.pod.recovery
        self.speaker, _ = self.core.connect()
        self.members: list[Member] = []
        self.gone: list[Member] = []
        for _ in range(MOST_MEMBERS + 100):
            self.come().join("one")
            if self.chance.random() < 0.5:
                self.members[-1].join("two")

    def come(self) -> Member:
        self.members.append(Member(self.core, self.chance.choice([None, None, self.tailed])))
        return self.members[-1]

    async def do(self, what: str) -> None:
        """One of DOINGS."""
        member, room = self.chance.choice(self.members), RoomName(self.chance.choice(ROOMS))
        match what:
            case "say":
                size = self.chance.choice([3, 800])
                self.core.say(self.speaker, type="broadcast", room=room, payload="x" * size)
            case "write" if self.beside.groups:
                self.beside.make()
            case "turn":
                await asyncio.sleep(0)
            case "join":
                self.chance.choice([member, self.come()]).join(room)
            case "resume":
                self.come().join(room, self.chance.randrange(self.recovery.offset(room) + 1))
            case "leave":
                member.leave(room)
            case "lose" | "end":
                self.go(member, lost=what == "lose")
            case "stick":
                member.socket.stuck = True
            case "free":
                self.free()
            case "resync":
                self.recovery._members.resync(room, "lost", self.recovery.position(room))
            case "rest":
                await asyncio.sleep(0.005)
            case _:
                pass

    def go(self, member: Member, *, lost: bool) -> None:
        self.members.remove(member)
        self.gone.append(member)
        if lost:
            member.socket.gone = True
            self.core.pod.sessions.lost(member.connection, GOING)
        else:
            member.connection.end(GOING)

    def free(self) -> None:
        """All who are stuck take what waits."""
        for member in self.members:
            member.socket.stuck, member.socket.waiting = False, 0

    async def finish(self) -> dict[str, Position | None]:
        """Let all be written. Returns the last position of each room."""
        self.free()
        rooms = [room for name in ROOMS if (room := self.core.pod.rooms.get(RoomName(name))) is not None]
        while self.beside.groups or any(room.resting or room.arrivals or room.resuming for room in rooms):
            if self.beside.groups:
                self.beside.make()
            await asyncio.sleep(0.001)
        while any(one.connection.missed is not None or one.connection.answers for one in self.members):
            await asyncio.sleep(0.001)
        return {room.name: room.position for room in rooms}


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_members_do_while_passes_go_nobody_has_a_gap_or_hears_twice(seed: int) -> None:
    """They come, go on where they were, leave, vanish, are ended, get slow and catch up, and rooms are resynced.

    Each reads every message from its join to its leave once and in order, or a `resync` in the place of those that it
    lost. At the end nobody waits for anything, and tails tell what was written.
    """
    crowd = Crowd(seed)
    await passes()
    for _ in range(STEPS):
        await crowd.do(crowd.chance.choice(DOINGS))
    last = await crowd.finish()
    for member in crowd.gone:
        member.read()
    for member in crowd.members:
        places = member.read()
        assert places.keys() == member.rooms
        for name, offset in places.items():
            position = last[name]
            assert offset is None or (position is not None and offset == position.offset)
        if places and member.connection.wire is crowd.tailed:
            assert positions(b"".join(member.socket.writes)) == {name: last[name] for name in places}
