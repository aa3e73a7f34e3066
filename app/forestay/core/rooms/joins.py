"""Carries out joins and leaves in the order in which a client asks for them.

A join may have to wait for the bus to subscribe, for presence, and for the history. Until then the connection is not in
the room. Later requests of the same connection about the same room wait behind the join. A join that takes too long is
refused.

    SUBSCRIBING ──▶ LOADING ──▶ DONE      entered, or given up
         │                       ▲
         └───────────────────────┘        nothing to load, or the timeout has passed
"""

from asyncio import Task, TimerHandle
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum

from forestay.core.fanout.connection import Connection
from forestay.core.ports.bus import BusLost, Unavailable
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.membership import Membership
from forestay.core.rooms.presence import FIRST_PAGE, Presence
from forestay.core.rooms.recovery import Recovery
from forestay.core.rooms.subscriptions import Subscriptions
from forestay.core.rules.access import Right
from forestay.core.rules.policies import Policies
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName
from forestay.protocol.presence import PresencePage


@dataclass(frozen=True, slots=True)
class JoinResult:
    """The result of a join."""

    position: Position | None
    """Where live messages start; None in rooms without history."""
    recovered: bool | None
    """Whether all missed messages follow; None where the request had no `since`."""
    members: PresencePage | None
    """The users in the room, this one included; None where the request did not ask for them or they cannot be read."""


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A connection that asks to enter a room, and the callbacks for the result."""

    connection: Connection
    name: RoomName
    since: Position | None
    joined: Callable[[JoinResult], None]
    """Called just before the first message of the room."""
    refused: Callable[[Refusal], None]
    with_members: bool = False
    """Whether the answer shows who is in the room."""


@dataclass(frozen=True, slots=True)
class LeaveRequest:
    """A connection that asks to leave a room, and the callbacks for the result."""

    connection: Connection
    name: RoomName
    left: Callable[[], None]
    refused: Callable[[Refusal], None]


@dataclass(frozen=True, slots=True)
class JoinRules:
    """The rules of every join."""

    policies: Policies
    timeout: float
    """Seconds that a join may take."""


class _Stage(Enum):
    SUBSCRIBING = "waits for the bus"
    LOADING = "reads presence and history"
    DONE = "entered or given up"


class _Join:
    """One join under way."""

    __slots__ = ("deadline", "present", "request", "stage", "waiting")

    def __init__(self, request: JoinRequest) -> None:
        self.request = request
        self.stage = _Stage.SUBSCRIBING
        self.deadline: TimerHandle | None = None
        self.present = False
        """Whether presence counts the user because of this join."""
        self.waiting: list[Callable[[], None]] = []
        """Later requests of the connection about this room."""


class Joins:
    """Owns all joins that are under way."""

    def __init__(
        self,
        runtime: Runtime,
        membership: Membership,
        subscriptions: Subscriptions,
        recovery: Recovery,
        presence: Presence,
        rules: JoinRules,
    ) -> None:
        self._runtime = runtime
        self._membership = membership
        self._subscriptions = subscriptions
        self._recovery = recovery
        self._presence = presence
        self._rules = rules
        self._under_way: dict[Connection, dict[RoomName, _Join]] = {}
        self._loading: set[Task[None]] = set()

    def pending(self, connection: Connection) -> Collection[RoomName]:
        """The rooms that `connection` has asked to join and is not in yet."""
        return self._under_way.get(connection, {}).keys()

    def join(self, request: JoinRequest) -> None:
        """Let the connection in when the room is subscribed and what it missed is read; refuse it after the timeout."""
        earlier = self._find(request.connection, request.name)
        if earlier is not None:
            earlier.waiting.append(lambda: self.join(request))
            return
        join = _Join(request)
        self._subscriptions.hold(request.name, lambda: self._subscribed(join))
        if join.stage is not _Stage.DONE:
            join.deadline = self._runtime.loop.call_later(self._rules.timeout, self._expire, join)
            self._under_way.setdefault(request.connection, {})[request.name] = join

    def leave(self, request: LeaveRequest) -> None:
        """Take the connection out of the room; where a join is under way, after it."""
        connection, name = request.connection, request.name
        earlier = self._find(connection, name)
        if earlier is not None:
            earlier.waiting.append(lambda: self.leave(request))
        elif connection.ended is not None:
            pass
        elif name in connection.rooms:
            self._membership.leave(connection, name)
            request.left()
        else:
            request.refused(Refusal(ErrorCode.NOT_JOINED, "this connection is not in that room"))

    def _find(self, connection: Connection, name: RoomName) -> _Join | None:
        joins = self._under_way.get(connection)
        return joins.get(name) if joins else None

    def _subscribed(self, join: _Join) -> None:
        """The bus delivers the room here, and its position is known."""
        request = join.request
        connection, name = request.connection, request.name
        if join.stage is _Stage.DONE or connection.ended is not None:
            self._give_up(join)
            return
        already_in = name in connection.rooms
        if self._rules.policies.of(name).presence and not already_in:
            self._presence.enter(name, connection.identity)
            join.present = True
        if request.with_members or (request.since is not None and not already_in):
            join.stage = _Stage.LOADING
            self._start_loading(join)
        else:
            self._complete(join, None, None)

    def _start_loading(self, join: _Join) -> None:
        task = self._runtime.loop.create_task(self._load(join))
        # The loop holds tasks weakly.
        self._loading.add(task)
        task.add_done_callback(lambda task: self._loaded(join, task))

    def _loaded(self, join: _Join, task: Task[None]) -> None:
        """If loading failed because of a bug, end the connection of the join, and no other one."""
        self._loading.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._runtime.loop.call_exception_handler({"message": "a join failed", "exception": bug, "task": task})
            # End the connection first: then the requests that waited behind the join are dropped and not answered.
            join.request.connection.end(ENDINGS[CloseCode.INTERNAL_ERROR])
            self._give_up(join)

    async def _load(self, join: _Join) -> None:
        """Read what the reply to the join needs: the members and the missed messages."""
        request = join.request
        if join.present:
            # The list of members should contain the client itself.
            await self._presence.registered(request.name, request.connection.identity.user)
        members = await self._members(request)
        # This is the last step: the missed messages end at the position of the room, and later ones are live.
        missed = await self._missed(request)
        self._complete(join, missed, members)

    async def _members(self, request: JoinRequest) -> PresencePage | None:
        if not request.with_members:
            return None
        try:
            return await self._presence.page(request.name, None, FIRST_PAGE)
        except Refusal:
            return None

    async def _missed(self, request: JoinRequest) -> list[Message] | None:
        if request.since is None or request.name in request.connection.rooms:
            return None
        try:
            return await self._recovery.missed(request.name, request.since)
        except BusLost:
            return None

    def _complete(self, join: _Join, missed: list[Message] | None, members: PresencePage | None) -> None:
        """Let the connection in, unless it may no longer enter. `missed` is None where it cannot be read."""
        request = join.request
        connection, name = request.connection, request.name
        if join.stage is _Stage.DONE or connection.ended is not None:
            self._give_up(join)
        elif Right.JOIN not in connection.identity.rights.of(name):
            # The token was renewed meanwhile.
            self._release(join)
            request.refused(Refusal(ErrorCode.FORBIDDEN, "the token no longer allows to join this room"))
            self._finish(join)
        else:
            recovered = None if request.since is None else missed is not None
            request.joined(JoinResult(self._recovery.position(name), recovered, members))
            if name in connection.rooms:
                # An earlier join let it in, and it counts as one member.
                self._release(join)
            else:
                self._membership.enter(connection, name, missed or ())
            self._finish(join)

    def _give_up(self, join: _Join) -> None:
        self._release(join)
        self._finish(join)

    def _release(self, join: _Join) -> None:
        """Release what the join holds: presence and the subscription."""
        request = join.request
        if join.present:
            self._presence.leave(request.name, request.connection.identity.user, grace=False)
        self._subscriptions.release(request.name)

    def _expire(self, join: _Join) -> None:
        """Refuse the join, because the bus took too long. What it holds is released when the bus answers."""
        if join.stage is not _Stage.DONE:
            if join.request.connection.ended is None:
                join.request.refused(Unavailable())
            self._finish(join)

    def _finish(self, join: _Join) -> None:
        """Carry out the requests that waited behind the join, in their order."""
        join.stage = _Stage.DONE
        if join.deadline is not None:
            join.deadline.cancel()
        connection, name = join.request.connection, join.request.name
        joins = self._under_way.get(connection)
        if joins is not None and joins.get(name) is join:
            del joins[name]
            if not joins:
                del self._under_way[connection]
        waiting, join.waiting = join.waiting, []
        for request in waiting:
            request()
