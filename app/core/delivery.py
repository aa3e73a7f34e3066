"""Writes what is due, in passes: one buffer per room, one write per connection, then a rest.

Messages are encoded once and wait in their room. A pass writes everything that waits, on all rooms at once, and the pod
then rests for as long as the pass took, at most a cap: a write costs the kernel about the same for one message as for
fifty, so under load few large passes carry several times as much as many small ones. A quiet pod writes at the end of
the loop's tick. Nothing here awaits.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.core.backpressure import LOOK_AGAIN, Backpressure
from app.core.connection import Connection
from app.core.policies import Slow
from app.core.ports import World
from app.core.rooms import Room, Rooms
from app.core.roster import Roster
from app.protocol.codes import ENDINGS, CloseCode, Ending, Refusal
from app.protocol.encoder import Encoder, Payload, placed
from app.protocol.message import Message, Position
from app.protocol.names import RoomName


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the pod rests after a pass."""

    rest: float
    """Seconds of rest per second of pass; 0 never rests."""
    cap: float
    """The longest rest, seconds: what delivery may add to a message's latency."""


class Delivery:
    def __init__(
        self,
        world: World,
        roster: Roster,
        rooms: Rooms,
        backpressure: Backpressure,
        encoder: Encoder,
        pace: Pace,
    ) -> None:
        self._roster = roster
        self._loop = world.loop
        self._observer = world.observer
        self._rooms = rooms
        self._backpressure = backpressure
        self._pace = pace
        self._encoder = encoder
        self._due: dict[Room, None] = {}
        self._answering: dict[Connection, None] = {}
        self._scheduled = False
        self._looking = False
        self._rested_at = 0.0
        self.end: Callable[[Connection, Ending], None] = _nobody_to_tell
        """Ends a connection; set by whoever owns connections' lives."""

    def hear(self, message: Message) -> None:
        """A message has come from the bus: queue it for the members of its room."""
        room = self._rooms.get(message.room)
        if room is None:
            return
        frame = self._encoder.message(message, traced=room.policy.trace)
        left_out = None if message.exclude is None else self._roster.by_id(message.exclude)
        if left_out is not None and left_out in room.members:
            room.queue_except(frame, left_out)
            recipients = len(room.members) - 1
        else:
            room.queue(frame)
            recipients = len(room.members)
        self._schedule(room)
        if self._observer is not None:
            self._observer.delivered(message, recipients)

    def announce(self, room: Room, kind: str, payload: Payload) -> None:
        """Tell the members of `room` something of the gateway's own."""
        room.queue(self._encoder.answer(kind, room=room.name, payload=payload))
        self._schedule(room)

    def say(
        self,
        connection: Connection,
        kind: str,
        *,
        id: str | None = None,
        room: RoomName | None = None,
        payload: Payload | None = None,
    ) -> None:
        """Tell one client something, ahead of the room messages of the next pass."""
        self.answer(connection, self._encoder.answer(kind, id=id, room=room, payload=payload))

    def refuse(self, connection: Connection, refusal: Refusal, id: str | None, room: str | None) -> None:
        """Tell one client no, with the `id` and `room` of what it said."""
        if self._observer is not None:
            self._observer.refused(refusal.code)
        self.answer(connection, self._encoder.refusal(refusal, id=id, room=room))

    def answer(self, connection: Connection, frame: bytes) -> None:
        """Queue a finished frame for one client."""
        if connection.ended is None:
            connection.answers.append(frame)
            self._answering[connection] = None
            self._schedule()

    def replay(self, connection: Connection, room: Room, messages: Iterable[Message]) -> None:
        """Give one member messages of the past, ahead of the live ones."""
        for message in messages:
            self.answer(connection, self._encoder.message(message, traced=room.policy.trace))

    def resync(self, name: RoomName, reason: str, position: Position | None) -> None:
        """Tell the members of a room that messages were lost, and where live goes on."""
        room = self._rooms.get(name)
        if room is not None:
            self.announce(room, "resync", {"reason": reason} | placed(position))

    def settle(self, connection: Connection, room: Room) -> None:
        """`connection` leaves `room`: what it is still owed goes among its answers."""
        if room.pending and not self._backpressure.over(connection):
            self.answer(connection, room.owed(connection))

    def flush(self, connection: Connection) -> None:
        """Write what `connection` is owed, now: a close frame follows."""
        chunks, connection.answers = connection.answers, []
        if not self._backpressure.over(connection):
            chunks += [room.owed(connection) for room in self._due if connection in room.members]
        if not connection.socket.closed():
            connection.socket.write(b"".join(chunks))

    def forget(self, connection: Connection) -> None:
        self._answering.pop(connection, None)
        self._backpressure.forget(connection)

    def _schedule(self, room: Room | None = None) -> None:
        if room is not None:
            self._due[room] = None
        if self._scheduled:
            return
        self._scheduled = True
        if self._loop.time() >= self._rested_at:
            self._loop.call_soon(self._pass)
        else:
            self._loop.call_at(self._rested_at, self._pass)

    def _pass(self) -> None:
        started = self._loop.time()
        self._release_caught_up()
        self._scheduled = False
        rooms, self._due = self._due, {}
        answering, self._answering = self._answering, {}
        writes = size = 0
        for connection, chunks in _gather(rooms).items():
            if connection.ended is not None or connection.socket.closed():
                continue
            if self._backpressure.over(connection):
                self._hold_back(connection, rooms)
            elif connection.answers:
                # The answers take the batches along; they are written below with those of everybody else.
                connection.answers += chunks
            else:
                data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                connection.socket.write(data)
                writes += 1
                size += len(data)
        for connection in answering:
            size += self._write_answers(connection)
        now = self._loop.time()
        self._rested_at = now + min((now - started) * self._pace.rest, self._pace.cap)
        if self._observer is not None:
            self._observer.flushed(writes + len(answering), size, now - started)

    def _write_answers(self, connection: Connection) -> int:
        chunks, connection.answers = connection.answers, []
        if not chunks or connection.socket.closed():
            return 0
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if self._backpressure.congested(connection):
            connection.congested = True
        connection.socket.write(data)
        return len(data)

    def _hold_back(self, connection: Connection, rooms: dict[Room, None]) -> None:
        newly = connection.missed is None
        verdict = self._backpressure.hold_back(connection, [room for room in rooms if connection in room.members])
        if newly and self._observer is not None:
            self._observer.slow(verdict)
        if verdict is Slow.DISCONNECT:
            self.end(connection, ENDINGS[CloseCode.TOO_SLOW])
        elif not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_AGAIN, self._look_again)

    def _look_again(self) -> None:
        self._looking = bool(self._backpressure.lagging)
        if self._looking:
            self._loop.call_later(LOOK_AGAIN, self._look_again)
            self._release_caught_up()

    def _release_caught_up(self) -> None:
        """Tell those who are slow no more where they missed something; they hear what comes after it."""
        for connection, missed in self._backpressure.caught_up():
            for name in missed:
                self._resync(connection, name)

    def _resync(self, connection: Connection, name: RoomName) -> None:
        room = self._rooms.get(name)
        if room is not None and connection in room.members:
            self.say(connection, "resync", room=name, payload={"reason": "slow"})


def _gather(rooms: Iterable[Room]) -> dict[Connection, list[bytes]]:
    """What each member of `rooms` is to be written, room by room."""
    due: dict[Connection, list[bytes]] = {}
    for room in rooms:
        shared, own = room.take()
        for member in room.members:
            part = own.get(member, shared) if own else shared
            if not part:
                continue
            chunks = due.get(member)
            if chunks is None:
                due[member] = [part]
            else:
                chunks.append(part)
    return due


def _nobody_to_tell(connection: Connection, ending: Ending) -> None:
    raise RuntimeError("delivery was not told how to end a connection")
