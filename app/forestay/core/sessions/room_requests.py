"""Carries out the requests to join and leave rooms."""

from asyncio import Future
from collections.abc import Awaitable, Callable
from typing import Final

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.hooks.decisions import Decision
from forestay.core.rooms.join_requests import JoinRequest, JoinResult, LeaveRequest
from forestay.core.rooms.joins import Joins
from forestay.core.rooms.turns import Turn
from forestay.core.rules.access import Right
from forestay.core.rules.policies import Policies
from forestay.core.rules.session_limits import SessionLimits
from forestay.core.sessions.addresses import any_room
from forestay.core.sessions.join_hook import JoinHook
from forestay.protocol import replies, requests
from forestay.protocol.codes import Refusal
from forestay.protocol.names import RoomName

TOLD_LEAVE: Final = 10.0
"""Messages that a `leave` costs besides itself, where the members are told of it and of the next join."""


class RoomRequests:
    """Checks each request, and replies when it has taken effect. All methods raise Refusal."""

    def __init__(self, policies: Policies, limits: SessionLimits, joins: Joins, outbox: Outbox, hook: JoinHook) -> None:
        self._hook = hook
        self._policies = policies
        self._limits = limits
        self._joins = joins
        self._outbox = outbox

    def join(
        self,
        connection: Connection,
        request: requests.Join,
        turn: Turn | None = None,
        refuse: Callable[[Refusal], None] | None = None,
    ) -> Awaitable[None] | None:
        """Let the connection into a room. `turn`: in a list, when it is answered.

        `refuse`: answers a refusal that comes later, where it is not the usual answer. Returns what must be awaited
        before the next request of the client: the application is asked. None where it is not, or has answered.
        """
        identity = connection.identity
        name = any_room(identity, request.room)
        if not connection.may_be_in(name):
            identity.require(Right.JOIN, name)
        self._check_number(connection, name)

        def joined(how: JoinResult) -> None:
            reply = replies.Joined(request.id, name, how.position, how.recovered, how.members)
            _in_turn(turn, lambda: self._outbox.send(connection, reply))

        def refused(refusal: Refusal) -> None:
            if refuse is not None:
                _in_turn(turn, lambda: refuse(refusal))
            else:
                _in_turn(turn, lambda: self._outbox.refuse(connection, refusal, request.id, request.room))

        with_members = self._policies.of(name).presence and Right.PRESENCE in identity.rights.of(name)
        join = JoinRequest(connection, name, request.since, joined, refused, with_members, turn)
        asked = self._hook.ask(connection, name)
        if asked is None:
            self._joins.join(join)
        elif isinstance(asked, Decision):
            self._decide(join, asked)
        else:
            return self._decide_later(join, asked)
        return None

    def _decide(self, join: JoinRequest, decision: Decision) -> None:
        """Let a connection in, or refuse it, as the application says."""
        if decision.refusal is not None:
            join.refused(decision.refusal)
        else:
            self._joins.join(join)

    async def _decide_later(self, join: JoinRequest, decision: "Future[Decision]") -> None:
        """Do the same when the application has decided, unless the connection has ended meanwhile."""
        decided, connection = await decision, join.connection
        if connection.ended is not None:
            return
        try:
            # A backend may have put it into rooms meanwhile.
            self._check_number(connection, join.name)
        except Refusal as refusal:
            join.refused(refusal)
        else:
            self._decide(join, decided)

    def _check_number(self, connection: Connection, name: RoomName) -> None:
        """Raises Refusal where the connection would be in too many rooms with the room `name`."""
        pending = self._joins.pending(connection)
        if name not in connection.rooms and name not in pending:
            self._limits.check_rooms(len(connection.rooms) + len(pending) + 1)

    def leave(self, connection: Connection, request: requests.Leave) -> None:
        """Take the connection out of a room."""
        name = any_room(connection.identity, request.room)

        def left() -> None:
            if self._policies.of(name).join_leave:
                connection.bucket.charge(TOLD_LEAVE)
            self._outbox.send(connection, replies.Left(request.id, name))

        def refused(refusal: Refusal) -> None:
            self._outbox.refuse(connection, refusal, request.id, request.room)

        self._joins.leave(LeaveRequest(connection, name, left, refused))


def _in_turn(turn: Turn | None, act: Callable[[], None]) -> None:
    if turn is None:
        act()
    else:
        turn.answer(act)
