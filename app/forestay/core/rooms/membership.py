"""Lets connections into rooms and out again: the rooms, the bus's subscriptions and the announcements move together.

A join may have to wait for the bus. Meanwhile the connection is neither in nor out: leaving takes effect when the join
does, and a join that the bus does not let happen in time is refused.
"""

from asyncio import Task, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.delivery import Delivery
from forestay.core.fanout.rooms import Room, Rooms
from forestay.core.ports.bus import BusLost, Unavailable
from forestay.core.ports.registry import PresencePage
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.presence import FIRST_PAGE, Presence
from forestay.core.rooms.subscriptions import Subscriptions
from forestay.core.rules.access import Right
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName


@dataclass(frozen=True, slots=True)
class Joined:
    """How somebody came into a room."""

    position: Position | None
    """Where live starts; None in rooms without history."""
    recovered: bool | None
    """Whether what was missed follows; None where nothing was asked for."""
    roll: PresencePage | None
    """Who is in the room, the one who enters among them; None where that was not asked for or cannot be had."""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A connection that wants to be in a room, and where its answers go."""

    connection: Connection
    name: RoomName
    since: Position | None
    entered: Callable[[Joined], None]
    """Called just before the first message, of those missed or of those to come."""
    refused: Callable[[Refusal], None]
    roll: bool = False
    """Whether to say who is there."""


@dataclass(frozen=True, slots=True)
class LeaveRequest:
    """A connection that wants to leave a room, and where its answers go."""

    connection: Connection
    name: RoomName
    left: Callable[[], None]
    refused: Callable[[Refusal], None]


class Membership:
    def __init__(
        self,
        runtime: Runtime,
        rooms: Rooms,
        subscriptions: Subscriptions,
        presence: Presence,
        delivery: Delivery,
        timeout: float,
    ) -> None:
        """`timeout`: seconds that a join waits for the bus."""
        self.delivery = delivery
        self.policies = rooms.policies
        self._runtime = runtime
        self._rooms = rooms
        self._subscriptions = subscriptions
        self._recovery = subscriptions.recovery
        self.presence = presence
        self._timeout = timeout
        self._looking: set[Task[None]] = set()

    def join(self, wish: JoinRequest) -> None:
        """Let the connection in once the bus is heard and what it missed is read, or refuse it in time."""
        earlier = self._joining(wish.connection, wish.name)
        if earlier is not None:
            earlier.behind.append(lambda: self.join(wish))
            return
        join = _Join(wish, self)
        self._subscriptions.want(wish.name, join.heard)
        if not join.over:
            join.timer = self._runtime.loop.call_later(self._timeout, join.expire)
            self._note(join)

    def part(self, parting: LeaveRequest) -> None:
        """Take the connection out of a room at its own wish; if it is about to come in, once it is."""
        connection, name = parting.connection, parting.name
        earlier = self._joining(connection, name)
        if earlier is not None:
            earlier.behind.append(lambda: self.part(parting))
        elif connection.ended is not None:
            pass
        elif name in connection.rooms:
            self.leave(connection, name)
            parting.left()
        else:
            parting.refused(Refusal(ErrorCode.NOT_JOINED, "this connection is not in that room"))

    def settled(self, join: "_Join") -> None:
        """A join came to its end; what the connection said about that room meanwhile is done now, in its order."""
        connection, name = join.wish.connection, join.wish.name
        if self._joining(connection, name) is join:
            connection.joining = {at: one for at, one in (connection.joining or {}).items() if at != name} or None
        behind, join.behind = join.behind, []
        for then in behind:
            then()

    def _joining(self, connection: Connection, name: RoomName) -> "_Join | None":
        join = connection.joining.get(name) if connection.joining else None
        return join if isinstance(join, _Join) else None

    def _note(self, join: "_Join") -> None:
        connection = join.wish.connection
        if connection.joining is None:
            connection.joining = {}
        connection.joining[join.wish.name] = join

    def leave(self, connection: Connection, name: RoomName) -> None:
        """Take `connection` out of `name`; it gets at once what it is still owed."""
        room = self._rooms.get(name)
        if room is None:
            raise RuntimeError("a connection is in a room that does not exist")
        self.delivery.settle(connection, room)
        connection.rooms.discard(name)
        if connection.missed is not None:
            connection.missed.discard(name)
        self._remove(connection, room, grace=False)

    def leave_all(self, connection: Connection) -> None:
        """Take a connection that is over out of every room; nothing more is written to it."""
        for name in connection.rooms:
            room = self._rooms.get(name)
            if room is not None:
                self._remove(connection, room, grace=True)
        connection.rooms.clear()

    def look(self, join: "_Join") -> None:
        """Find out what the connection is to be told when it enters, then let it in."""
        wish = join.wish

        async def look() -> None:
            if join.announced:
                # Who is told who is there should find itself among them.
                await self.presence.told(wish.name, wish.connection.identity.user)
            roll = await self._presence_page(wish)
            # Last: what was missed is known up to now, and whatever comes after now is live.
            join.ready(await self._missed(wish), roll)

        task = self._runtime.loop.create_task(look())
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    def enter(self, join: "_Join", missed: list[Message] | None, roll: PresencePage | None) -> None:
        """Let the connection in now; `missed` is None where that cannot be told."""
        wish = join.wish
        connection, name = wish.connection, wish.name
        recovered = None if wish.since is None else missed is not None
        wish.entered(Joined(self._recovery.position(name), recovered, roll))
        if name in connection.rooms:
            if join.announced:
                # It came in by another wish meanwhile, and is one connection.
                self.presence.leave(name, connection.identity.user, grace=False)
            self._subscriptions.lose(name)
            return
        room = self._rooms.enter(name)
        self.delivery.replay(connection, room, missed or ())
        room.add(connection)
        connection.rooms.add(name)

    def announce(self, wish: JoinRequest) -> bool:
        """Enter the connection's user among those who are present; whether it was not yet, by this connection."""
        if not self.policies.of(wish.name).presence or wish.name in wish.connection.rooms:
            return False
        self.presence.enter(wish.name, wish.connection.identity)
        return True

    def abandon(self, join: "_Join") -> None:
        """Who wanted to join will not."""
        wish = join.wish
        if join.announced:
            self.presence.leave(wish.name, wish.connection.identity.user, grace=False)
        self._subscriptions.lose(wish.name)

    async def _presence_page(self, wish: JoinRequest) -> PresencePage | None:
        if not wish.roll:
            return None
        try:
            return await self.presence.presence_page(wish.name, None, FIRST_PAGE)
        except Refusal:
            return None

    async def _missed(self, wish: JoinRequest) -> list[Message] | None:
        if wish.since is None or wish.name in wish.connection.rooms:
            return None
        try:
            return await self._recovery.missed(wish.name, wish.since)
        except BusLost:
            return None

    def _remove(self, connection: Connection, room: Room, *, grace: bool) -> None:
        room.remove(connection)
        if room.policy.presence:
            self.presence.leave(room.name, connection.identity.user, grace=grace)
        if not room.members:
            self._rooms.discard(room)
        self._subscriptions.lose(room.name)


class _Join:
    """One wish on its way: heard, looked into, in; or given up."""

    def __init__(self, wish: JoinRequest, membership: Membership) -> None:
        self.wish = wish
        self.timer: TimerHandle | None = None
        self._membership = membership
        self.announced = False
        """Whether the user is counted among those present because of this wish."""
        self.behind: list[Callable[[], None]] = []
        """What the connection said about this room meanwhile."""
        self.over = False

    def heard(self) -> None:
        """The bus is heard and the room's position known."""
        if self.over or self.wish.connection.ended is not None:
            self.ready(None, None)
            return
        self.announced = self._membership.announce(self.wish)
        if self.wish.roll or (self.wish.since is not None and self.wish.name not in self.wish.connection.rooms):
            self._membership.look(self)
        else:
            self.ready(None, None)

    def ready(self, missed: list[Message] | None, roll: PresencePage | None) -> None:
        """All is known that can be: walk in."""
        if self.timer is not None:
            self.timer.cancel()
        late, self.over = self.over, True
        connection, name = self.wish.connection, self.wish.name
        if late or connection.ended is not None:
            self._membership.abandon(self)
        elif Right.JOIN not in connection.identity.rights.of(name):
            # The token was renewed meanwhile.
            self._membership.abandon(self)
            self.wish.refused(Refusal(ErrorCode.FORBIDDEN, "the token no longer opens this room"))
        else:
            self._membership.enter(self, missed, roll)
        self._membership.settled(self)

    def expire(self) -> None:
        """The bus took too long."""
        if not self.over:
            self.over = True
            if self.wish.connection.ended is None:
                self.wish.refused(Unavailable())
            self._membership.settled(self)
