"""What happens to a client that does not take messages as fast as they come.

A client is slow while more than `limit` bytes wait for it. Room messages are then not written, and the room's policy
says what follows: the connection ends with 4413, or it goes on with a `resync` once it has caught up to half the limit.
Answers are written all the same: their number is bounded by not reading further from a client that leaves them unread.
"""

from collections.abc import Iterable
from typing import Final

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.rooms import Room
from forestay.core.rules.policies import Slow
from forestay.protocol.names import RoomName

LOOK_AGAIN: Final = 0.1
"""Seconds between looks at slow clients while nothing is delivered."""


class Backpressure:
    def __init__(self, limit: int) -> None:
        """`limit`: bytes that may wait for one client."""
        self.limit = limit
        self.lagging: set[Connection] = set()
        """Clients that miss messages right now, by the policy of the rooms concerned."""

    def over(self, connection: Connection) -> bool:
        """Whether room messages must not be written to `connection` now."""
        return connection.missed is not None or connection.socket.buffered() > self.limit

    def hold_back(self, connection: Connection, rooms: Iterable[Room]) -> Slow:
        """`connection` misses messages of `rooms`. What their policies say is to be done about it."""
        missed = connection.missed
        if missed is None:
            missed = set()
        for room in rooms:
            if room.policy.slow is Slow.DISCONNECT:
                return Slow.DISCONNECT
            missed.add(room.name)
        connection.missed = missed
        self.lagging.add(connection)
        return Slow.DROP_OLDEST

    def caught_up(self) -> list[tuple[Connection, set[RoomName]]]:
        """Clients that are slow no more, each with the rooms in which it missed something."""
        half = self.limit // 2
        ready = [connection for connection in self.lagging if connection.socket.buffered() <= half]
        caught_up: list[tuple[Connection, set[RoomName]]] = []
        for connection in ready:
            self.lagging.discard(connection)
            caught_up.append((connection, connection.missed or set()))
            connection.missed = None
        return caught_up

    def congested(self, connection: Connection) -> bool:
        """Whether even answers pile up: more than the limit waits already."""
        return connection.socket.buffered() > self.limit

    def forget(self, connection: Connection) -> None:
        self.lagging.discard(connection)
        connection.missed = None
