"""Writes what is due, in passes: one buffer per room, one write per connection, then a rest.

Messages are encoded once and wait in their room. A pass writes all rooms that are due in one go, and those rooms then
rest for as long as the pass took, at most a cap: a write costs the kernel about the same for one message as for fifty,
so under load few large passes carry several times as much as many small ones. Only what was written rests: to wait
saves a write where the same sockets are written again, and nothing where the next message is for others. A quiet pod
writes at the end of the loop's tick. Nothing here awaits.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from forestay.core.fanout.batch import Batch, gather, take
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.fanout.rooms import Room, Rooms
from forestay.core.fanout.slow import LOOK_AGAIN, Backpressure
from forestay.core.ports.observer import RefusedMessage
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.policies import Slow
from forestay.protocol.codes import ENDINGS, CloseCode, Ending, Refusal
from forestay.protocol.message import Kind, Message, Position
from forestay.protocol.names import RoomName
from forestay.protocol.v1.encoder import Encoder, Payload, placed

_SHORTEST: Final = 0.0005
"""Seconds. The loop waits in milliseconds: a rest of less would only become longer than the pass was."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the rooms of a pass rest after it."""

    rest: float
    """Seconds of rest per second of pass; 0 never rests."""
    cap: float
    """The longest rest, seconds: what delivery may add to a message's latency."""


class Delivery:
    def __init__(
        self,
        runtime: Runtime,
        hub: Hub,
        rooms: Rooms,
        backpressure: Backpressure,
        encoder: Encoder,
        pace: Pace,
    ) -> None:
        self._hub = hub
        self._loop = runtime.loop
        self._clock = runtime.clock
        self._observer = runtime.observer
        self._tracer = runtime.tracer
        self._watched = runtime.observer is not None or runtime.tracer is not None
        self._rooms = rooms
        self._backpressure = backpressure
        self._pace = pace
        self._encoder = encoder
        self._due: dict[Room, None] = {}
        self._answering: dict[Connection, None] = {}
        self._scheduled = False
        self._looking = False
        self.end: Callable[[Connection, Ending], None] = _nobody_to_tell
        """Ends a connection; set by whoever owns connections' lives."""

    def hear(self, message: Message) -> None:
        """A message has come from the bus: queue it for the members of its room."""
        room = self._rooms.get(message.room)
        if room is None:
            return
        frame = self._encoder.message(message, traced=room.policy.trace)
        left_out = self._left_out(room, message)
        recipients = len(room.members) - len(left_out)
        if left_out:
            room.queue_except(frame, left_out)
        else:
            room.queue(frame)
        self._schedule(room)
        if self._observer is not None:
            self._observer.delivered(message, recipients)
        if self._watched and recipients:
            room.arrivals.append((message, recipients, self._loop.time()))

    def _left_out(self, room: Room, message: Message) -> Sequence[Connection]:
        """Who in `room` is not to hear `message`: the one that asked not to, or everybody whom it is news of."""
        if message.kind is not Kind.BROADCAST and message.sender is not None:
            return [one for one in self._hub.of_user(message.sender) if one in room.members]
        if message.exclude is None:
            return ()
        one = self._hub.by_id(message.exclude)
        return () if one is None or one not in room.members else (one,)

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

    def refuse(
        self,
        connection: Connection,
        refusal: Refusal,
        id: str | None,
        room: str | None,
        message: RefusedMessage | None = None,
    ) -> None:
        """Tell one client no, with the `id` and `room` of what it said; `message`: if that was to be delivered."""
        if self._observer is not None:
            self._observer.refused(refusal.code, connection.source, message)
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
            self._observe_resync(reason, len(room.members))

    def settle(self, connection: Connection, room: Room) -> None:
        """`connection` leaves `room`: what it is still owed goes among its answers."""
        if not self._backpressure.over(connection):
            if room.pending:
                self.answer(connection, room.owed(connection))
        elif room.owed(connection) or (connection.missed and room.name in connection.missed):
            self._resync(connection, room.name)

    def flush(self, connection: Connection) -> None:
        """Write what `connection` is owed, now: a close frame follows."""
        chunks, connection.answers = connection.answers, []
        if not self._backpressure.over(connection):
            rooms = [room for name in connection.rooms if (room := self._rooms.get(name)) is not None]
            chunks += [room.owed(connection) for room in rooms if room.pending]
        if not connection.socket.closed():
            connection.socket.write(b"".join(chunks))

    def forget(self, connection: Connection) -> None:
        self._answering.pop(connection, None)
        self._backpressure.forget(connection)

    def _schedule(self, room: Room | None = None) -> None:
        if room is not None:
            if room.resting:
                return
            self._due[room] = None
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pass)

    def _pass(self) -> None:
        started = self._loop.time()
        self._release_caught_up()
        self._scheduled = False
        rooms, self._due = self._due, {}
        answering, self._answering = self._answering, {}
        batches = [take(room) for room in rooms]
        writes = size = 0
        # Looked at for every write of the pod: what Backpressure.over says, without the price of asking.
        limit = self._backpressure.limit
        for connection, chunks in gather(batches).items():
            socket = connection.socket
            if connection.ended is not None or socket.closed():
                continue
            if connection.missed is not None or socket.buffered() > limit:
                self._hold_back(connection, batches)
            elif connection.answers:
                # The answers take the batches along; they are written below with those of everybody else.
                connection.answers += chunks
            else:
                data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                socket.write(data)
                writes += 1
                size += len(data)
        for connection in answering:
            written = self._write_answers(connection)
            writes += written > 0
            size += written
        took = self._loop.time() - started
        self._rest(rooms, min(took * self._pace.rest, self._pace.cap))
        if self._observer is not None:
            self._observer.flushed(writes, size, took)
        if self._watched:
            self._report(batches, started)

    def _report(self, batches: Iterable[Batch], started: float) -> None:
        """Tell who watches what was written."""
        unix = self._clock()
        for batch in batches:
            if self._observer is not None and batch.arrivals:
                self._observer.written(batch.arrivals, started, unix)
            if self._tracer is not None:
                for arrival in batch.arrivals:
                    if arrival[0].trace is not None:
                        self._tracer.reached(arrival, batch.room.policy.pattern, batch.dropped)

    def _rest(self, rooms: dict[Room, None], rest: float) -> None:
        if rest < _SHORTEST:
            self._rested(rooms)
        elif rooms:
            self._loop.call_later(rest, self._rested, rooms)

    def _rested(self, rooms: Iterable[Room]) -> None:
        for room in rooms:
            room.resting = False
            if room.pending:
                self._schedule(room)

    def _write_answers(self, connection: Connection) -> int:
        chunks, connection.answers = connection.answers, []
        if not chunks or connection.socket.closed():
            return 0
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if self._backpressure.congested(connection):
            connection.congested = True
        connection.socket.write(data)
        return len(data)

    def _hold_back(self, connection: Connection, batches: Sequence[Batch]) -> None:
        newly = connection.missed is None
        missed = []
        for batch in batches:
            if connection in batch.room.members and batch.part(connection):
                missed.append(batch.room)
                batch.dropped += 1
        verdict = self._backpressure.hold_back(connection, missed)
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
            self._observe_resync("slow", 1)

    def _observe_resync(self, reason: str, recipients: int) -> None:
        if self._observer is not None:
            self._observer.resynced(reason, recipients)


def _nobody_to_tell(connection: Connection, ending: Ending) -> None:
    raise RuntimeError("delivery was not told how to end a connection")
