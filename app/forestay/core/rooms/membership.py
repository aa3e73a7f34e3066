"""Puts connections into rooms and takes them out: the members, the subscription and presence change together."""

from math import inf

from forestay.core.fanout.callers import caller_of
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.fanout.rooms import Room, Rooms
from forestay.core.hooks.hooks import Hooks
from forestay.core.ports.hook_events import LeaveEvent
from forestay.core.rooms.missed import Missed
from forestay.core.rooms.presence import Presence
from forestay.core.rooms.resumes import Resumes
from forestay.core.rooms.subscriptions import Subscriptions
from forestay.core.rules.hooks import Hook
from forestay.protocol.names import RoomName, shown
from forestay.protocol.position import Position


class Membership:
    """Each member of a room holds one subscription to it."""

    def __init__(
        self,
        rooms: Rooms,
        subscriptions: Subscriptions,
        presence: Presence,
        resumes: Resumes,
        outbox: Outbox,
        hooks: Hooks | None = None,
    ) -> None:
        """`hooks`: None where the application has none."""
        self._hooks = hooks
        self._rooms = rooms
        self._subscriptions = subscriptions
        self._presence = presence
        self._resumes = resumes
        self._outbox = outbox

    def enter(
        self,
        connection: Connection,
        name: RoomName,
        position: Position | None,
        since: Position | None,
        missed: Missed | None,
    ) -> None:
        """Let `connection` in. The caller holds a subscription for it.

        It gets the live messages, which follow on `position`; before them what it missed after `since`, of which
        `missed` is the first part.
        """
        room = self._rooms.enter(name)
        if not room.audiences:
            room.start(position)
        room.add(connection)
        connection.rooms.add(name)
        self._outbox.entered(connection, name, position)
        if since is not None and missed is not None:
            self._resumes.begin(connection, room, since, missed)

    def grant(self, connection: Connection, name: RoomName) -> None:
        """Let `connection` be in the room `name` whatever its token allows, until it leaves."""
        if connection.granted is None:
            connection.granted = set()
        connection.granted.add(name)

    async def taken(self, connection: Connection) -> None:
        """Wait until the client has taken nearly all of what it was sent, or until its connection is closed."""
        await self._outbox.taken(connection, patience=inf)

    def leave(self, connection: Connection, name: RoomName) -> None:
        """Take `connection` out of the room `name`. It gets what it is still owed."""
        room = self._rooms.get(name)
        if room is None:
            raise RuntimeError("a connection is in a room that does not exist")
        self._resumes.stop(connection, name)
        self._outbox.settle(connection, room)
        connection.rooms.discard(name)
        if connection.granted is not None:
            connection.granted.discard(name)
        self._remove(connection, room, grace=False)

    def leave_all(self, connection: Connection) -> None:
        """Take a connection that has ended out of all its rooms. Nothing more is written to it."""
        self._resumes.stop_all(connection)
        if connection.rooms:
            for room in self._rooms.of(connection):
                self._remove(connection, room, grace=True)
            connection.rooms.clear()
        connection.granted = None

    def _remove(self, connection: Connection, room: Room, *, grace: bool) -> None:
        room.remove(connection)
        if room.policy.presence:
            self._presence.leave(room.name, connection.identity.user, grace=grace)
        if room.policy.hooks and self._hooks is not None and Hook.LEAVE in room.policy.hooks:
            self._hooks.tell(
                LeaveEvent(caller_of(connection), shown(room.name), disconnected=connection.ended is not None)
            )
        if not room.audiences:
            self._rooms.discard(room)
        self._subscriptions.release(room.name)
