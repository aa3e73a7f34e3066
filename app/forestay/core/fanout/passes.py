"""Writes what is due in passes: one buffer for each audience of a room, one write for each connection, then a rest.

Frames wait in their room or with their connection. A pass writes all of them at once. Its rooms then rest for as long
as the pass took, up to a cap: a write costs the kernel about the same for one message as for fifty, so under load a few
large passes carry several times as much as many small ones. Only rooms that were written rest. A rest saves writes to
the same sockets, and would only delay messages for others. A pod with little to do writes at the end of the loop's
tick. Nothing here awaits.

Large rooms have a pass of their own, in steps: see large_pass.py. Its writes leave the loop where there is a
GroupWriter, so that nobody else waits for them. They rest only where messages come faster than they are written: see
Rests.begin.
"""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Final

from forestay.core.fanout.batch import Batch, Tailed, gather, gather_alike, take_all
from forestay.core.fanout.callers import client_of
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.large_pass import LargePass
from forestay.core.fanout.member_writes import MemberWrites
from forestay.core.fanout.positions import gather_tailed, move
from forestay.core.fanout.rests import Pace, Rests
from forestay.core.fanout.rooms import Room
from forestay.core.fanout.slow import SlowReaders
from forestay.core.ports.group_writer import Group, GroupWriter
from forestay.core.ports.runtime import Runtime
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.replies import Reply, Resync

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
        self._watching = runtime.watching
        self._slow = slow
        self._writes = MemberWrites(slow, self.tell_positions)
        self._rests = Rests(runtime.loop, pace, self.schedule)
        self._group_writer = group_writer
        self._due: dict[Room, None] = {}
        self._answering: dict[Connection, None] = {}
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

    def reply(self, connection: Connection, reply: Reply) -> None:
        """Let the next pass write `reply` to `connection`, before room messages."""
        if self._watching.active:
            self._watching.replied(connection, reply)
        self.answer(connection, connection.wire.reply(reply))

    def tell_positions(self, connection: Connection) -> None:
        """Let the next write to `connection` end with its positions, where its wire has that and it has any."""
        if connection.positions is not None and connection.ended is None:
            self._writes.tailing[connection] = self._answering[connection] = None
            if not self._scheduled:
                self._wake()

    def resync_slow(self, connection: Connection, name: RoomName, position: Position | None) -> None:
        """Tell a slow client that it missed messages of the room `name`, the last one at `position`."""
        move(connection, name, position)
        self.tell_positions(connection)
        self.reply(connection, Resync(name, "slow"))
        if self._observer is not None:
            self._observer.resynced(name, "slow", 1, client_of(connection))

    def take_answers(self, connection: Connection) -> list[bytes]:
        """Return the frames that wait for `connection` alone. No pass writes them after this."""
        chunks, connection.answers = connection.answers, []
        return chunks

    def take_tail(self, connection: Connection) -> bytes:
        """Return the positions of `connection`, to end a write with. Empty where its wire has that not, or it has none.

        No pass writes them after this, until they change.
        """
        return self._writes.take_tail(connection)

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self._answering.pop(connection, None)
        self._writes.tailing.pop(connection, None)
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
        writer = self._group_writer
        large = self._take_large(rooms) if writer is not None else None
        try:
            if rooms or answering or large is None:
                self._pass(rooms, answering)
        finally:
            if large is not None and writer is not None:
                self._step(large, writer)

    def _take_large(self, rooms: dict[Room, None]) -> LargePass | None:
        """Take the large ones out of `rooms`. They rest from now on: the writes to others may make news for them."""
        large = [room for room in rooms if room.large]
        for room in large:
            del rooms[room]
        return LargePass(large) if large else None

    def _pass(self, rooms: Collection[Room], answering: Iterable[Connection]) -> None:
        """Write the pending frames of `rooms` and of `answering`."""
        started, writes = self._perf(), self._writes
        batches = take_all(rooms)
        writes.start()
        try:
            tailed: Tailed = []
            if len(batches) == 1 and not batches[0].tailed:
                # Most passes of a pod that is not overloaded. Nobody is in two rooms of it.
                writes.room(batches[0])
            elif batches:
                due, tailed = gather(batches)
                writes.rooms(due, batches)
            if tailed or writes.tailing:
                writes.tailed(gather_tailed(tailed), batches)
            for connection in answering:
                writes.answers(connection)
        finally:
            # Also after a bug: a room that goes on resting would get nothing more.
            took = self._perf() - started
            self._rests.begin(rooms, took)
            self._check_slow_later()
        self._traffic.flush(writes.number, writes.size, took)
        self._report(batches, started)

    def _step(self, large: LargePass, writer: GroupWriter) -> None:
        """Write the next step of `large` beside the loop, but to those for whom something waits already."""
        started, writes = self._perf(), self._writes
        batches = large.take(started)
        writes.start()
        handed_over = False
        try:
            # Answers go first, and slow readers get nothing: the loop sees to that.
            apart = {*self._answering, *self._slow.behind} if self._answering or self._slow.behind else ()
            alike, due, tailed = gather_alike(batches, apart)
            number, size = len(alike.members), sum([len(buffer) for buffer in alike.buffers])
            usual = len(alike.members)
            group = Group(alike.transports, alike.buffers)
            if tailed:
                told = Group([], [])
                writes.tailed(gather_tailed(tailed), batches, told)
                group = Group(alike.transports + told.transports, alike.buffers + told.buffers)
            handed_over = True
            large.took += self._perf() - started
            for at in writer.write(group, partial(self._step_written, large, writer)):
                if at < usual:
                    due[alike.members[at]] = alike.buffers[at]
                    number, size = number - 1, size - len(alike.buffers[at])
                else:
                    group.transports[at].write(group.buffers[at])
            writes.rooms(due, batches)
        finally:
            took = self._perf() - started
            if not handed_over:
                self._rests.begin(large.rooms, took)
            self._check_slow_later()
        self._traffic.flush(number + writes.number, size + writes.size, took)
        if batches is not large.batches:
            large.batches[0].dropped += batches[0].dropped

    def _step_written(self, large: LargePass, writer: GroupWriter, seconds: float) -> None:
        """The writes of a step are made, which took `seconds` of CPU beside the loop."""
        large.beside += seconds
        # Not at once, because a GroupWriter without a thread has made them while `_step` runs.
        self._loop.call_soon(self._go_on, large, writer)

    def _go_on(self, large: LargePass, writer: GroupWriter) -> None:
        if large.goes_on:
            self._step(large, writer)
        else:
            self._rests.begin(large.rooms, large.took, large.messages, large.beside)
            self._report(large.batches, large.started)

    def _report(self, batches: Iterable[Batch], started: float) -> None:
        """Report the messages that were written."""
        unix = self._clock()
        for batch in batches:
            if self._watching.active:
                self._watching.written(batch.room.name, batch.arrivals)
            traced = bool(batch.arrivals) and self._traffic.write(batch.arrivals, started, unix)
            if traced and self._tracer is not None:
                for arrival in batch.arrivals:
                    if arrival[0].trace is not None:
                        self._tracer.reached(arrival, batch.room.policy.pattern, batch.dropped)

    def _check_slow_later(self) -> None:
        """Look after the clients that became slow in a pass, if there are any."""
        if self._slow.behind and not self._checking:
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
