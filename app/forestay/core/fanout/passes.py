"""Writes what is due in passes: one buffer for each audience of a room, one write for each connection, then a rest.

Frames wait in their room or with their connection. A pass writes all of them at once. Its rooms then rest for as long
as the pass took, up to a cap: a write costs the kernel about the same for one message as for fifty, so under load a few
large passes carry several times as much as many small ones. Only rooms that were written rest. A rest saves writes to
the same sockets, and would only delay messages for others. A pod with little to do writes at the end of the loop's
tick. Nothing here awaits.

Large rooms have a pass of their own. Its writes leave the loop where there is a GroupWriter, so that nobody else waits
for them.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Final

from forestay.core.fanout.batch import Batch, Due, gather, gather_alike, take_all
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.positions import DueTailed, gather_tailed, move, move_on
from forestay.core.fanout.rests import Pace, Rests
from forestay.core.fanout.rooms import Room
from forestay.core.fanout.slow import SlowReaders
from forestay.core.ports.group_writer import Group, GroupWriter
from forestay.core.ports.runtime import Runtime
from forestay.protocol.message import Position
from forestay.protocol.names import RoomName
from forestay.protocol.replies import Resync

SLOW_CHECK_INTERVAL: Final = 0.1
"""Seconds between two checks of slow clients while nothing is written."""


class Passes:
    """Schedules and runs the passes of this pod."""

    def __init__(
        self, runtime: Runtime, slow: SlowReaders, pace: Pace, group_writer: GroupWriter | None = None
    ) -> None:
        """`group_writer`: without one, the loop makes all writes."""
        self._loop = runtime.loop
        self._clock = runtime.clock
        self._perf = runtime.perf
        self._observer = runtime.observer
        self._tracer = runtime.tracer
        self._traffic = runtime.traffic
        self._slow = slow
        self._rests = Rests(runtime.loop, pace, self.schedule)
        self._group_writer = group_writer
        self._due: dict[Room, None] = {}
        self._answering: dict[Connection, None] = {}
        self._tailing: dict[Connection, None] = {}
        """Connections whose next write ends with their positions."""
        self._scheduled = False
        self._checking = False

    def schedule(self, room: Room) -> None:
        """Let the next pass write the pending frames of `room`. If the room rests, a later pass does."""
        if not room.resting:
            self._due[room] = None
            if not self._scheduled:
                self._wake()

    def answer(self, connection: Connection, frame: bytes) -> None:
        """Let the next pass write `frame` to `connection`, before room messages. Nothing happens if it is empty."""
        if frame and connection.ended is None:
            connection.answers.append(frame)
            self._answering[connection] = None
            if not self._scheduled:
                self._wake()

    def tell_positions(self, connection: Connection) -> None:
        """Let the next write to `connection` end with its positions, where its wire has that and it has any."""
        if connection.positions is not None and connection.ended is None:
            self._tailing[connection] = self._answering[connection] = None
            if not self._scheduled:
                self._wake()

    def resync_slow(self, connection: Connection, name: RoomName, position: Position | None) -> None:
        """Tell a slow client that it missed messages of the room `name`, the last one at `position`."""
        move(connection, name, position)
        self.tell_positions(connection)
        self.answer(connection, connection.wire.reply(Resync(name, "slow")))
        if self._observer is not None:
            self._observer.resynced("slow", 1)

    def take_answers(self, connection: Connection) -> list[bytes]:
        """Return the frames that wait for `connection` alone. No pass writes them after this."""
        chunks, connection.answers = connection.answers, []
        return chunks

    def take_tail(self, connection: Connection) -> bytes:
        """Return the positions of `connection`, to end a write with. Empty where its wire has that not, or it has none.

        No pass writes them after this, until they change.
        """
        self._tailing.pop(connection, None)
        return b"" if connection.positions is None else connection.transport.tail(connection.positions)

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._answering.pop(connection, None)
        self._tailing.pop(connection, None)
        if connection.missed is not None:
            self._slow.forget(connection)

    def _wake(self) -> None:
        self._scheduled = True
        self._loop.call_soon(self._run)

    def _run(self) -> None:
        try:
            if self._slow.behind:
                self._release_slow()
        finally:
            self._scheduled = False
        rooms, self._due = self._due, {}
        answering, self._answering = self._answering, {}
        large = [room for room in rooms if room.large] if self._group_writer is not None else ()
        for room in large:
            del rooms[room]
        try:
            if rooms or answering or not large:
                self._pass(rooms, answering)
        finally:
            if large and self._group_writer is not None:
                self._pass_beside(large, self._group_writer)

    def _pass(self, rooms: Collection[Room], answering: Iterable[Connection]) -> None:
        """Write the pending frames of `rooms` and of `answering`."""
        started = self._perf()
        batches = take_all(rooms)
        try:
            due, tailed = gather(batches)
            writes, size = self._write_rooms(due, batches)
            if tailed or self._tailing:
                more, bytes_more = self._write_tailed(gather_tailed(tailed), batches)
                writes, size = writes + more, size + bytes_more
            for connection in answering:
                written = self._write_answers(connection)
                writes += written > 0
                size += written
        finally:
            # Also after a bug: a room that goes on resting would get nothing more.
            took = self._perf() - started
            self._rests.begin(rooms, took)
        self._traffic.flush(writes, size, took)
        self._report(batches, started)

    def _pass_beside(self, rooms: Collection[Room], writer: GroupWriter) -> None:
        """Write the pending frames of `rooms` beside the loop, but to those for whom something waits already."""
        started = self._perf()
        batches = take_all(rooms)
        handed_over = False
        try:
            # Answers go first, and slow readers get nothing: the loop sees to that.
            apart = {*self._answering, *self._slow.behind} if self._answering or self._slow.behind else ()
            alike, due, tailed = gather_alike(batches, apart)
            writes, size = len(alike.members), sum([len(buffer) for buffer in alike.buffers])
            handed_over = True
            group = Group(alike.transports, alike.buffers)
            for at in writer.write(group, partial(self._rests.begin, rooms, self._perf() - started)):
                due[alike.members[at]] = [alike.buffers[at]]
                writes, size = writes - 1, size - len(alike.buffers[at])
            more, bytes_more = self._write_rooms(due, batches)
            writes, size = writes + more, size + bytes_more
            if tailed:
                more, bytes_more = self._write_tailed(gather_tailed(tailed), batches)
                writes, size = writes + more, size + bytes_more
        finally:
            took = self._perf() - started
            if not handed_over:
                self._rests.begin(rooms, took)
        self._traffic.flush(writes, size, took)
        self._report(batches, started)

    def _write_rooms(self, due: Due, batches: list[Batch]) -> tuple[int, int]:
        """Write to each member what is `due` to it of `batches`. Returns the number of writes, and their bytes."""
        writes = size = 0
        # The first look of SlowReaders.slow, without the cost of a call for each write of the pod.
        limit = self._slow.limit
        for connection, chunks in due.items():
            transport = connection.transport
            if connection.ended is not None or transport.closed():
                continue
            if (connection.missed is not None or transport.buffered() > limit) and self._slow.slow(connection):
                self._hold_back(connection, batches)
            elif connection.answers:
                # Answers go first. Both are written together with the answers of other connections.
                connection.answers += chunks
            else:
                data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                transport.write(data)
                writes += 1
                size += len(data)
        return writes, size

    def _write_tailed(self, tailed: DueTailed, batches: list[Batch]) -> tuple[int, int]:
        """The same for members that are told their positions: each write ends with them."""
        writes = size = 0
        limit = self._slow.limit
        for connection, found in tailed.items():
            transport = connection.transport
            if connection.ended is not None or transport.closed():
                continue
            if (connection.missed is not None or transport.buffered() > limit) and self._slow.slow(connection):
                if any(buffer for buffer, _ in found):
                    self._hold_back(connection, batches)
                self._pass_by(connection, found)
                continue
            chunks = move_on(connection, found)
            if connection.answers:
                connection.answers += chunks
                self._tailing[connection] = None
                continue
            if tail := self.take_tail(connection):
                chunks.append(tail)
            if chunks:
                data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                transport.write(data)
                writes += 1
                size += len(data)
        for connection in list(self._tailing):
            if tail := self.take_tail(connection):
                connection.answers.append(tail)
        return writes, size

    def _pass_by(self, connection: Connection, found: Sequence[tuple[bytes, Batch]]) -> None:
        """Move a slow client on where the only messages are its own ones, which it did not want back."""
        missed = connection.missed or ()
        passed_by = [one for one in found if not one[0] and one[1].room.name not in missed]
        if passed_by:
            move_on(connection, passed_by)
            self.tell_positions(connection)

    def _write_answers(self, connection: Connection) -> int:
        chunks, connection.answers = connection.answers, []
        transport = connection.transport
        if not chunks or transport.closed():
            return 0
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        transport.write(data)
        waiting = transport.buffered()
        if waiting:
            self._slow.note_answers(connection, len(data), waiting)
        return len(data)

    def _report(self, batches: Iterable[Batch], started: float) -> None:
        """Report the messages that were written."""
        unix = self._clock()
        for batch in batches:
            if batch.arrivals:
                self._traffic.write(batch.arrivals, started, unix)
            if self._tracer is not None:
                for arrival in batch.arrivals:
                    if arrival[0].trace is not None:
                        self._tracer.reached(arrival, batch.room.policy.pattern, batch.dropped)

    def _hold_back(self, connection: Connection, batches: list[Batch]) -> None:
        self._slow.hold_back(connection, batches)
        if not self._checking:
            self._checking = True
            self._loop.call_later(SLOW_CHECK_INTERVAL, self._check_slow)

    def _check_slow(self) -> None:
        self._checking = bool(self._slow.behind)
        if self._checking:
            self._loop.call_later(SLOW_CHECK_INTERVAL, self._check_slow)
            self._release_slow()

    def _release_slow(self) -> None:
        """Tell clients that are no longer slow where they missed messages. They get the messages after that."""
        for connection, missed in self._slow.caught_up():
            for name, position in missed.items():
                self.resync_slow(connection, name, position)
