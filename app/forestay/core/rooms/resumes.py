"""Sends joiners what they missed, a part at a time, as each of them takes it; then lets them have the live messages.

A joiner is a member of its room from the start, but live messages pass it by: it reads them from the history too, until
it is level with the room. So a resume holds one part of the history in memory, however long it is, and whatever is said
in the room meanwhile. One resume of a connection sends at a time.
"""

from asyncio import Lock, Task, sleep

from forestay.core.fanout.callers import client_of
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.fanout.resuming import Deferred
from forestay.core.fanout.rooms import Room, Rooms
from forestay.core.ports.bus import BusLost
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.missed import Missed
from forestay.core.rooms.recovery import RETRY, Recovery
from forestay.core.rules.policies import Slow
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position


class _Resumes:
    """The resumes of one connection."""

    __slots__ = ("sending", "tasks")

    def __init__(self) -> None:
        self.sending = Lock()
        self.tasks: dict[RoomName, Task[None]] = {}


class Resumes:
    """All resumes that are under way on this pod."""

    def __init__(self, runtime: Runtime, rooms: Rooms, recovery: Recovery, outbox: Outbox) -> None:
        self._runtime = runtime
        self._rooms = rooms
        self._recovery = recovery
        self._outbox = outbox
        self._under_way: dict[Connection, _Resumes] = {}

    def begin(self, connection: Connection, room: Room, since: Position, missed: Missed) -> None:
        """Send `connection` what it missed in `room` after `since`.

        `missed` is the first part, which the caller has just read. The connection is a member of the room, and has got
        none of its messages.
        """
        if missed.level:
            self._outbox.replay(connection, room, missed.messages)
            return
        deferred = room.defer(connection, self._recovery.offset(room.name))
        self._outbox.reached(connection, room.name, since)
        at = self._send(connection, room, deferred, since, missed)
        resumes = self._under_way.get(connection)
        if resumes is None:
            resumes = self._under_way[connection] = _Resumes()
        task = self._runtime.loop.create_task(self._run(connection, room, deferred, at))
        resumes.tasks[room.name] = task
        task.add_done_callback(lambda task: self._ended(connection, room.name, task))

    def stop(self, connection: Connection, name: RoomName) -> None:
        """Send nothing more of the room `name`, which `connection` leaves."""
        resumes = self._under_way.get(connection)
        if resumes is not None and (task := resumes.tasks.pop(name, None)) is not None:
            task.cancel()
            if not resumes.tasks:
                del self._under_way[connection]

    def stop_all(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        resumes = self._under_way.pop(connection, None)
        if resumes is not None:
            for task in resumes.tasks.values():
                task.cancel()

    async def _run(self, connection: Connection, room: Room, deferred: Deferred, at: Position) -> None:
        """Send what follows on `at` until the connection is level with the room, or cannot be any more."""
        while True:
            async with self._under_way[connection].sending:
                if not await self._outbox.taken(connection):
                    self._give_up(connection, room)
                    return
                missed, answered = None, True
                try:
                    async with self._recovery.reading:
                        missed = await self._recovery.missed(room.name, at)
                except BusLost:
                    answered = False
                    await sleep(RETRY)
            if not answered:
                continue
            if missed is None:
                self._outbox.resync(connection, room.name, "lost", self._recovery.position(room.name))
                break
            if missed.level:
                self._send(connection, room, deferred, at, missed)
                break
            async with self._outbox.large:
                at = self._send(connection, room, deferred, at, missed)
        self._outbox.replay(connection, room, deferred.take(None))
        if deferred.lost:
            self._outbox.resync(connection, room.name, "slow")
        room.go_live(connection)

    def _send(self, connection: Connection, room: Room, deferred: Deferred, at: Position, missed: Missed) -> Position:
        """Send a part, with what came in between. Returns the position of its last message."""
        for message in missed.messages:
            if message.position is not None:
                at = message.position
                self._outbox.replay(connection, room, deferred.take(at.offset))
            if not connection.is_left_out(message):
                self._outbox.replay(connection, room, (message,))
        self._outbox.reached(connection, room.name, at)
        return at

    def _give_up(self, connection: Connection, room: Room) -> None:
        """The client takes nothing. Do with it what the policy of the room says about slow members."""
        if self._runtime.observer is not None:
            self._runtime.observer.slow(room.policy.slow, client_of(connection))
        if room.policy.slow is Slow.DISCONNECT:
            connection.end(ENDINGS[CloseCode.TOO_SLOW])
        else:
            self._outbox.resync(connection, room.name, "slow")
            self._outbox.reached(connection, room.name, self._recovery.position(room.name))
            room.go_live(connection)

    def _ended(self, connection: Connection, name: RoomName, task: Task[None]) -> None:
        """If a resume failed because of a bug, end its connection, and no other one."""
        resumes = self._under_way.get(connection)
        if resumes is not None and resumes.tasks.get(name) is task:
            del resumes.tasks[name]
            if not resumes.tasks:
                del self._under_way[connection]
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._runtime.loop.call_exception_handler({"message": "a resume failed", "exception": bug, "task": task})
            connection.end(ENDINGS[CloseCode.INTERNAL_ERROR])
