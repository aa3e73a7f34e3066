"""Lets connections into rooms and out again: the rooms, the bus's interest and the announcements move together.

A join may have to wait for the bus. Meanwhile the connection is neither in nor out: leaving takes effect when the join
does, and a join that the bus does not let happen in time is refused.
"""

from asyncio import Task, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass

from app.core.connection import Connection
from app.core.continuity import Continuity
from app.core.delivery import Delivery
from app.core.interest import Interest
from app.core.ports import BusLost, Unavailable, World
from app.core.rooms import Room, Rooms
from app.protocol.codes import Refusal
from app.protocol.message import Message, Position
from app.protocol.names import RoomName


@dataclass(frozen=True, slots=True)
class Entrance:
    """How somebody came into a room."""

    position: Position | None
    """Where live starts; None in rooms without history."""
    recovered: bool | None
    """Whether what was missed follows; None where nothing was asked for."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A connection that wants to be in a room, and where its answers go."""

    connection: Connection
    name: RoomName
    since: Position | None
    entered: Callable[[Entrance], None]
    """Called just before the first message, of those missed or of those to come."""
    refused: Callable[[Refusal], None]


class Membership:
    def __init__(
        self, world: World, rooms: Rooms, interest: Interest, continuity: Continuity, delivery: Delivery, timeout: float
    ) -> None:
        """`timeout`: seconds that a join waits for the bus."""
        self.delivery = delivery
        self.policies = rooms.policies
        self._world = world
        self._rooms = rooms
        self._interest = interest
        self._continuity = continuity
        self._timeout = timeout
        self._recovering: set[Task[None]] = set()

    def join(self, wish: Wish) -> None:
        """Let the connection in once the bus is heard and what it missed is read, or refuse it in time."""
        join = _Join(wish, self)
        join.timer = self._world.loop.call_later(self._timeout, join.expire)
        self._interest.want(wish.name, join.heard)

    def leave(self, connection: Connection, name: RoomName) -> None:
        """Take `connection` out of `name`; it gets at once what it is still owed."""
        room = self._rooms.get(name)
        if room is None:
            raise RuntimeError("a connection is in a room that does not exist")
        self.delivery.settle(connection, room)
        connection.rooms.discard(name)
        if connection.missed is not None:
            connection.missed.discard(name)
        self._remove(connection, room)

    def leave_all(self, connection: Connection) -> None:
        """Take a connection that is over out of every room; nothing more is written to it."""
        for name in connection.rooms:
            room = self._rooms.get(name)
            if room is not None:
                self._remove(connection, room)
        connection.rooms.clear()

    def recover(self, join: "_Join", since: Position) -> None:
        """Read what the connection missed, then let it in."""

        async def read() -> None:
            try:
                missed = await self._continuity.missed(join.wish.name, since)
            except BusLost:
                missed = None
            join.ready(missed)

        task = self._world.loop.create_task(read())
        self._recovering.add(task)
        task.add_done_callback(self._recovering.discard)

    def enter(self, wish: Wish, missed: list[Message] | None) -> None:
        """Let the connection in now; `missed` is None where that cannot be told."""
        connection, name = wish.connection, wish.name
        recovered = None if wish.since is None else missed is not None
        wish.entered(Entrance(self._continuity.position(name), recovered))
        if name in connection.rooms:
            return
        room = self._rooms.enter(name)
        self.delivery.replay(connection, room, missed or ())
        user = connection.identity.user
        if room.policy.join_leave and not room.knows(user):
            # Queued before the newcomer is in, so it reaches everybody but the one it is about.
            self.delivery.announce(room, "user-joined", {"user": user})
        room.add(connection)
        connection.rooms.add(name)

    def abandon(self, name: RoomName) -> None:
        """Who wanted to join will not; so is the pod's interest, unless somebody else is in the room."""
        if self._rooms.get(name) is None:
            self._interest.lose(name)

    def _remove(self, connection: Connection, room: Room) -> None:
        last_of_user = room.remove(connection)
        if not room.members:
            self._rooms.discard(room)
            self._interest.lose(room.name)
        elif last_of_user:
            self.delivery.announce(room, "user-left", {"user": connection.identity.user})


class _Join:
    """One wish on its way: heard, recovered, in; or given up."""

    def __init__(self, wish: Wish, membership: Membership) -> None:
        self.wish = wish
        self.timer: TimerHandle | None = None
        self._membership = membership
        self._over = False

    def heard(self) -> None:
        """The bus is heard and the room's position known."""
        connection, since = self.wish.connection, self.wish.since
        if since is None or self.wish.name in connection.rooms or self._over or connection.ended is not None:
            self.ready(None)
        else:
            self._membership.recover(self, since)

    def ready(self, missed: list[Message] | None) -> None:
        """All is known that can be: walk in."""
        if self.timer is not None:
            self.timer.cancel()
        if self._over or self.wish.connection.ended is not None:
            self._membership.abandon(self.wish.name)
        else:
            self._over = True
            self._membership.enter(self.wish, missed)

    def expire(self) -> None:
        """The bus took too long."""
        if not self._over:
            self._over = True
            if self.wish.connection.ended is None:
                self.wish.refused(Unavailable())
