"""Carries out joins and leaves in the order in which a client asks for them.

A join may have to wait for the bus to subscribe, for presence, and for the history. Until then the connection is not in
the room. Later requests of the same connection about the same room wait behind the join; only so many may wait. A join
that takes too long is refused. What it held is released then, and also when the connection ends.

    SUBSCRIBING ──▶ WAITING ──▶ LOADING ──▶ DONE      entered, or given up
         │           its turn                ▲
         └───────────────────────────────────┘        nothing to load, or the timeout has passed
"""

from asyncio import Task
from collections.abc import Collection
from typing import Final

from forestay.core.fanout.connection import Connection
from forestay.core.ports.bus import BusLost, Unavailable
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.join_requests import (
    JoinQueue,
    JoinRequest,
    JoinResult,
    JoinRules,
    LeaveRequest,
    PendingJoin,
    Stage,
)
from forestay.core.rooms.membership import Membership
from forestay.core.rooms.missed import Missed
from forestay.core.rooms.presence import FIRST_PAGE, Presence
from forestay.core.rooms.recovery import Recovery
from forestay.core.rooms.subscriptions import Subscriptions
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.presence import PresencePage

MAX_WAITING: Final = 100
"""Requests of one connection that may wait behind its joins."""


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
        self._under_way: dict[Connection, JoinQueue] = {}
        self._in_line: dict[PendingJoin, None] = {}
        """Joins that wait until they may read a history."""

    def pending(self, connection: Connection) -> Collection[RoomName]:
        """The rooms that `connection` has asked to join and is not in yet."""
        queue = self._under_way.get(connection)
        return queue.joins.keys() if queue is not None else ()

    def join(self, request: JoinRequest) -> None:
        """Let the connection in when the room is subscribed and what it missed is read; refuse it after the timeout."""
        earlier = self._find(request.connection, request.name)
        if earlier is not None:
            self._wait(earlier, request)
            return
        join = PendingJoin(request)
        # Known before the room is subscribed, which may be now: a bug or an end finds it then.
        queue = self._under_way.get(request.connection)
        if queue is None:
            queue = self._under_way[request.connection] = JoinQueue()
        queue.joins[request.name] = join
        join.subscribed = lambda: self._subscribed(join)
        self._subscriptions.hold(request.name, join.subscribed)
        if join.stage is Stage.SUBSCRIBING:
            self._start_deadline(join)

    def leave(self, request: LeaveRequest) -> None:
        """Take the connection out of the room; where a join is under way, after it."""
        connection, name = request.connection, request.name
        earlier = self._find(connection, name)
        if earlier is not None:
            self._wait(earlier, request)
        elif name in connection.rooms:
            self._membership.leave(connection, name)
            request.left()
        else:
            request.refused(Refusal(ErrorCode.NOT_JOINED, "this connection is not in that room"))

    def leave_all(self, connection: Connection) -> None:
        """Give up the joins of a connection that has ended, and take it out of all its rooms."""
        queue = self._under_way.pop(connection, None)
        for join in list(queue.joins.values()) if queue is not None else ():
            join.withdraw()
            self._give_up(join)
        self._membership.leave_all(connection)

    def expel(self, connection: Connection) -> list[RoomName]:
        """Take the connection out of the rooms that its token no longer lets it join. Returns them.

        A join that is under way looks at the token when it is complete.
        """
        lost = [name for name in connection.rooms if not connection.may_be_in(name)]
        for name in lost:
            self._membership.leave(connection, name)
        return lost

    def _find(self, connection: Connection, name: RoomName) -> PendingJoin | None:
        queue = self._under_way.get(connection)
        return queue.joins.get(name) if queue is not None else None

    def _wait(self, earlier: PendingJoin, request: JoinRequest | LeaveRequest) -> None:
        """Carry out `request` once the join `earlier` is done, unless too many wait already."""
        queue = self._under_way[request.connection]
        if sum(len(join.waiting) for join in queue.joins.values()) < MAX_WAITING:
            earlier.waiting.append(request)
        else:
            request.refused(Unavailable())

    def _subscribed(self, join: PendingJoin) -> None:
        """The bus delivers the room here, and its position is known."""
        request = join.request
        connection, name = request.connection, request.name
        if join.stage is Stage.DONE:
            return
        if request.turn is not None and not request.turn.has_come:
            join.stage = Stage.WAITING
            self._stop_deadline(join)
            request.turn.wait(lambda: self._subscribed(join))
            return
        already_in = name in connection.rooms
        if self._rules.policies.of(name).presence and not already_in:
            self._presence.enter(name, connection.identity)
            join.present = True
        if request.with_members or (request.since is not None and not already_in):
            join.stage = Stage.LOADING
            self._start_loading(join)
        else:
            self._complete(join, None, None)

    def _start_deadline(self, join: PendingJoin) -> None:
        join.deadline = self._runtime.loop.call_later(self._rules.timeout, self._expire, join)

    def _stop_deadline(self, join: PendingJoin) -> None:
        if join.deadline is not None:
            join.deadline.cancel()
            join.deadline = None

    def _start_loading(self, join: PendingJoin) -> None:
        self._stop_deadline(join)
        join.loading = self._runtime.loop.create_task(self._load(join))
        join.loading.add_done_callback(lambda task: self._loaded(join, task))

    def _loaded(self, join: PendingJoin, task: Task[None]) -> None:
        """If loading failed because of a bug, end the connection of the join, and no other one."""
        join.loading = None
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._runtime.loop.call_exception_handler({"message": "a join failed", "exception": bug, "task": task})
            # End the connection first: then the requests that waited behind the join are dropped and not answered.
            join.request.connection.end(ENDINGS[CloseCode.INTERNAL_ERROR])
            self._give_up(join)

    async def _load(self, join: PendingJoin) -> None:
        """Read what the reply to the join needs: the members and the first of the missed messages."""
        request = join.request
        async with self._under_way[request.connection].loads:
            if request.part_bytes is None:
                # The replies to joins are answers like others: a client that does not take them gets no more of them.
                await self._membership.taken(request.connection)
            self._start_deadline(join)
            if join.present:
                # The list of members should contain the client itself.
                await self._presence.registered(request.name, request.connection.identity.user)
            members = await self._members(request)
            if request.since is None or request.name in request.connection.rooms:
                self._loaded_all(join, None, members)
                return
            self._stop_deadline(join)
            self._in_line[join] = None
            try:
                await self._recovery.reading.acquire()
            finally:
                del self._in_line[join]
            try:
                self._start_deadline(join)
                # This is the last step: it says whether live messages follow on the missed ones.
                self._loaded_all(join, await self._missed(request, request.since), members)
            finally:
                self._recovery.reading.release()

    def _loaded_all(self, join: PendingJoin, missed: Missed | None, members: PresencePage | None) -> None:
        join.loading = None
        self._complete(join, missed, members)

    async def _members(self, request: JoinRequest) -> PresencePage | None:
        if not request.with_members:
            return None
        try:
            return await self._presence.page(request.name, None, FIRST_PAGE, self._rules.page_bytes)
        except Refusal:
            return None

    async def _missed(self, request: JoinRequest, since: Position) -> Missed | None:
        try:
            return await self._recovery.missed(request.name, since, request.part_bytes)
        except BusLost:
            return None

    def _complete(self, join: PendingJoin, missed: Missed | None, members: PresencePage | None) -> None:
        """Let the connection in, unless it may no longer enter. `missed` is None where it cannot be read."""
        request = join.request
        connection, name = request.connection, request.name
        if request.granted:
            self._membership.grant(connection, name)
        if not connection.may_be_in(name):
            # The token was renewed meanwhile.
            request.refused(Refusal(ErrorCode.FORBIDDEN, "the token no longer allows to join this room"))
            self._give_up(join)
        else:
            recovered = None if request.since is None else missed is not None
            position = self._recovery.position(name)
            request.joined(JoinResult(position, recovered, members))
            if name in connection.rooms:
                # An earlier join let it in, and it counts as one member.
                self._release(join)
            else:
                self._membership.enter(connection, name, position, request.since, missed)
            self._finish(join)

    def _give_up(self, join: PendingJoin) -> None:
        if join.stage is not Stage.DONE:
            self._release(join)
            self._finish(join)

    def _release(self, join: PendingJoin) -> None:
        """Release what the join holds: presence and the subscription."""
        request = join.request
        if join.present:
            self._presence.leave(request.name, request.connection.identity.user, grace=False)
        self._subscriptions.release(request.name, join.subscribed)

    def _expire(self, join: PendingJoin) -> None:
        """Refuse the join, because the bus took too long, and those that wait behind it."""
        late = [join]
        if join.stage is Stage.LOADING:
            late += self._in_line
            late += [one for one in self._under_way[join.request.connection].joins.values() if one.deadline is None]
        for one in late:
            if one.stage is not Stage.DONE:
                one.request.refused(Unavailable())
                self._give_up(one)

    def _finish(self, join: PendingJoin) -> None:
        """Carry out the requests that waited behind the join, in their order."""
        join.stage = Stage.DONE
        # It holds the join, and only the garbage collector would free the two.
        join.subscribed = None
        self._stop_deadline(join)
        if join.loading is not None:
            join.loading.cancel()
        connection, name = join.request.connection, join.request.name
        queue = self._under_way.get(connection)
        if queue is not None and queue.joins.get(name) is join:
            del queue.joins[name]
            if not queue.joins:
                del self._under_way[connection]
        waiting, join.waiting = join.waiting, []
        for request in waiting:
            if connection.ended is None:
                self.join(request) if isinstance(request, JoinRequest) else self.leave(request)
