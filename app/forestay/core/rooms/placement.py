"""Puts connections into rooms and takes them out, as a backend says: rights do not decide, and the client is told."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from forestay.core.fanout.callers import client_of
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.join_requests import JoinRequest, JoinResult, LeaveRequest
from forestay.core.rooms.joins import Joins
from forestay.core.rules.access import Right
from forestay.core.rules.policies import Policies
from forestay.core.rules.session_limits import SessionLimits
from forestay.protocol import replies
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import RoomName

REMOVED: Final = "removed"
"""The reason in the `left` of a client that a backend took out of a room."""


@dataclass(frozen=True, slots=True)
class Placing:
    """What a backend wants: the connections of a user in a room, or not in it."""

    user: str
    room: RoomName
    connection: str | None
    """The id of the only connection that is meant; None for all of the user."""
    remove: bool


class Placed:
    """What came of it on this pod, once `done` is called."""

    def __init__(self, placing: Placing, done: Callable[["Placed"], None]) -> None:
        self.placing = placing
        self.changed = 0
        """Connections that are in the room, where they were to be put into it; or that have left it."""
        self.refused: list[tuple[str, ErrorCode]] = []
        """The ids of those that could not, each with the reason."""
        self._done = done
        self._missing = 1

    def expect(self) -> None:
        """Wait for one more connection."""
        self._missing += 1

    def settle(self, connection: Connection | None = None, refusal: Refusal | None = None) -> None:
        """Take the result of one connection. Without one, the last connection has been asked."""
        if connection is not None and refusal is None:
            self.changed += 1
        elif connection is not None and refusal is not None:
            self.refused.append((connection.id, refusal.code))
        self._missing -= 1
        if not self._missing:
            self._done(self)


class Placement:
    """Carries out what backends say about the members of rooms."""

    def __init__(
        self, runtime: Runtime, hub: Hub, joins: Joins, policies: Policies, limits: SessionLimits, outbox: Outbox
    ) -> None:
        self._runtime = runtime
        self._hub = hub
        self._joins = joins
        self._policies = policies
        self._limits = limits
        self._outbox = outbox

    def place(self, placing: Placing, done: Callable[[Placed], None]) -> None:
        """Put the connections of the user on this pod into the room, or take them out. `done` gets the result.

        `done` may be called before this returns. Joins and leaves of the client that are under way come first.
        """
        placed = Placed(placing, done)
        for connection in self._hub.of_user(placing.user):
            if placing.connection is None or connection.id == placing.connection:
                placed.expect()
                if placing.remove:
                    self._take_out(connection, placed)
                else:
                    self._put_in(connection, placed)
        placed.settle()

    def enter(self, connection: Connection, rooms: Iterable[RoomName]) -> None:
        """Put a new connection into `rooms`. One that it cannot enter is left out."""
        for room in rooms:
            placed = Placed(Placing(connection.identity.user, room, connection.id, remove=False), _nothing)
            placed.expect()
            self._put_in(connection, placed)
            placed.settle()

    def _put_in(self, connection: Connection, placed: Placed) -> None:
        name, pending = placed.placing.room, self._joins.pending(connection)
        if name not in connection.rooms and name not in pending:
            try:
                self._limits.check_rooms(len(connection.rooms) + len(pending) + 1)
            except Refusal as refusal:
                placed.settle(connection, refusal)
                return
        shown = self._policies.of(name).presence and Right.PRESENCE in connection.identity.rights.of(name)
        joined = partial(self._joined, connection, placed)
        refused = partial(placed.settle, connection)
        self._joins.join(
            JoinRequest(connection, name, None, joined, refused, shown, given_up=placed.settle, granted=True)
        )

    def _joined(self, connection: Connection, placed: Placed, how: JoinResult) -> None:
        name = placed.placing.room
        if name not in connection.rooms:
            self._outbox.send(connection, replies.Joined(None, name, how.position, None, how.members))
        placed.settle(connection)

    def _take_out(self, connection: Connection, placed: Placed) -> None:
        left = partial(self._left, connection, placed)
        refused = partial(self._not_left, connection, placed)
        self._joins.leave(LeaveRequest(connection, placed.placing.room, left, refused, placed.settle))

    def _left(self, connection: Connection, placed: Placed) -> None:
        self._outbox.send(connection, replies.Left(None, placed.placing.room, REMOVED))
        if self._runtime.observer is not None:
            self._runtime.observer.removed(placed.placing.room, REMOVED, client_of(connection))
        placed.settle(connection)

    def _not_left(self, connection: Connection, placed: Placed, refusal: Refusal) -> None:
        if refusal.code is ErrorCode.NOT_JOINED:
            placed.settle()
        else:
            placed.settle(connection, refusal)


def _nothing(placed: Placed) -> None:
    """Nobody asks what came of it."""
