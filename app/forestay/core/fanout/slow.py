"""Slow readers: clients that take messages more slowly than they come.

A client is slow while more than `limit` bytes of room messages wait for it. Room messages are then not written to it,
and the policy of the room decides: the connection ends with 4413, or it gets a `resync` for the room once it has caught
up to half of the limit. Answers do not make a client slow: it asked for them. Once more than `limit` bytes wait,
nothing more is read from it, so answers are bounded too.
"""

from collections.abc import Sequence

from forestay.core.fanout.batch import Batch
from forestay.core.fanout.callers import client_of
from forestay.core.fanout.connection import Connection
from forestay.core.ports.observer import Observer
from forestay.core.rules.policies import Slow
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position


class SlowReaders:
    """Knows the slow clients of this pod, and which rooms they missed messages of."""

    def __init__(self, limit: int, observer: Observer | None) -> None:
        """`limit`: bytes that may wait for one client."""
        self.limit = limit
        self._observer = observer
        self.behind: set[Connection] = set()
        """The clients that miss messages now."""

    def slow(self, connection: Connection) -> bool:
        """Whether room messages must not be written to `connection` now."""
        if connection.missed is not None:
            return True
        waiting = connection.transport.buffered()
        return waiting > self.limit and waiting - min(connection.answered, waiting) > self.limit

    def note_answers(self, connection: Connection, size: int, waiting: int) -> None:
        """Note that `size` bytes of answers were written, and that `waiting` bytes wait for the client since then."""
        before = min(connection.answered, max(0, waiting - size))
        connection.answered = before + min(size, waiting)
        if waiting > self.limit:
            # The client does not take its answers. More requests would only make more of them.
            connection.transport.hold_reading()

    def hold_back(self, connection: Connection, batches: Sequence[Batch]) -> None:
        """Drop what `batches` have for `connection`. End it, or note the rooms, as their policies say."""
        newly = connection.missed is None
        policy = Slow.DROP_OLDEST
        missed = {} if connection.missed is None else connection.missed
        for batch in batches:
            if batch.of(connection):
                batch.dropped += 1
                missed[batch.room.name] = batch.position
                if batch.room.policy.slow is Slow.DISCONNECT:
                    policy = Slow.DISCONNECT
        connection.missed = missed
        self.behind.add(connection)
        if newly and self._observer is not None:
            self._observer.slow(policy, client_of(connection))
        if policy is Slow.DISCONNECT:
            connection.end(ENDINGS[CloseCode.TOO_SLOW])

    def caught_up(self) -> list[tuple[Connection, dict[RoomName, Position | None]]]:
        """Return and forget the clients that are no longer slow, each with what it missed: see Connection.missed."""
        half = self.limit // 2
        ready = [connection for connection in self.behind if connection.transport.buffered() <= half]
        return [(connection, self._release(connection)) for connection in ready]

    def forget_room(self, connection: Connection, name: RoomName) -> bool:
        """Forget that `connection` missed messages of a room, which it leaves. Returns whether it did."""
        if connection.missed is None or name not in connection.missed:
            return False
        del connection.missed[name]
        return True

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is gone."""
        self.behind.discard(connection)
        connection.missed = None

    def _release(self, connection: Connection) -> dict[RoomName, Position | None]:
        self.behind.discard(connection)
        missed, connection.missed = connection.missed, None
        return missed or {}
