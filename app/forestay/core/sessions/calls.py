"""Carries out calls: asks the application's hook, and answers the client by the id of its call.

A call holds no other request of its client, and calls are answered in the order in which the application answers them.
"""

from asyncio import Future
from collections import deque
from functools import partial
from typing import Final

from forestay.core.fanout.callers import caller_of
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.hooks.decisions import Decision
from forestay.core.hooks.hooks import Hooks
from forestay.core.ports.hook_events import Caller, CallEvent
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.events import check_method
from forestay.protocol.replies import Result
from forestay.protocol.requests import Call
from forestay.protocol.trace import TraceContext, parse_trace

AT_ONCE: Final = 8
"""Calls of one connection, or of one user over HTTP, about which the application is asked at once: one client must not
take all of its places."""

MOST_WAITING: Final = 100
"""Calls of one connection that wait for their turn behind those. Each is a message, which the client's rate counts."""

_RETRY_AFTER: Final = 1.0
_NOT_TAKEN: Final = (
    "this gateway takes no calls: no hook of the application answers them (FORESTAY_HOOKS_MODULE, FORESTAY_HOOKS_URL)"
)


class _UnderWay:
    """The calls of one connection that have no answer yet."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[Call] = deque()


class Calls:
    """Asks the application for clients."""

    def __init__(self, hooks: Hooks | None, outbox: Outbox) -> None:
        """`hooks`: None where the application takes no calls."""
        self._hooks = hooks
        self._outbox = outbox
        self._under_way: dict[Connection, _UnderWay] = {}
        self._single: dict[str, int] = {}
        """How many calls over HTTP are under way, by user."""

    def call(self, connection: Connection, request: Call) -> None:
        """Ask the application, now or when a call before this one is answered. Raises Refusal."""
        hooks = self._taking(request)
        under_way = self._under_way.get(connection)
        if under_way is None or under_way.running < AT_ONCE:
            self._start(hooks, connection, request)
        elif len(under_way.waiting) < MOST_WAITING:
            under_way.waiting.append(request)
        else:
            raise _too_many(f"{AT_ONCE + MOST_WAITING} calls of this connection")

    async def answer(self, caller: Caller, request: Call, trace: TraceContext | None) -> bytes:
        """The application's answer to a call without a connection, as JSON. Raises Refusal."""
        hooks, user = self._taking(request), caller.user
        running = self._single.get(user, 0)
        if running >= AT_ONCE:
            raise _too_many(f"{AT_ONCE} calls of this user over HTTP")
        self._single[user] = running + 1
        try:
            decision = await hooks.decision(CallEvent(caller, request.method, bytes(request.payload), trace))
        finally:
            left = self._single[user] - 1
            if left:
                self._single[user] = left
            else:
                del self._single[user]
        if decision.refusal is not None:
            raise decision.refusal
        return decision.payload or b"null"

    def _taking(self, request: Call) -> Hooks:
        """What answers `request`. Raises Refusal where it cannot be asked."""
        check_method(request.method)
        if self._hooks is None:
            raise Refusal(ErrorCode.UNKNOWN_TYPE, _NOT_TAKEN)
        return self._hooks

    def _start(self, hooks: Hooks, connection: Connection, request: Call) -> None:
        trace = None if request.traceparent is None else parse_trace(request.traceparent, request.tracestate)
        event = CallEvent(caller_of(connection), request.method, bytes(request.payload), trace)
        decision = hooks.ask(event)
        if isinstance(decision, Decision):
            self._reply(connection, request.id, decision)
            return
        under_way = self._under_way.get(connection)
        if under_way is None:
            under_way = self._under_way[connection] = _UnderWay()
        under_way.running += 1
        decision.add_done_callback(partial(self._decided, hooks, connection, request.id))

    def _decided(self, hooks: Hooks, connection: Connection, id: str | None, decision: "Future[Decision]") -> None:
        """Reply, and ask what waits."""
        under_way = self._under_way[connection]
        under_way.running -= 1
        if connection.ended is not None:
            # What was not asked yet has had no effect.
            under_way.waiting.clear()
        else:
            self._reply(connection, id, decision.result())
        while under_way.waiting and under_way.running < AT_ONCE:
            self._start(hooks, connection, under_way.waiting.popleft())
        if not under_way.running:
            del self._under_way[connection]

    def _reply(self, connection: Connection, id: str | None, decision: Decision) -> None:
        if decision.refusal is not None:
            self._outbox.refuse(connection, decision.refusal, id, None)
        elif id is not None:
            self._outbox.send(connection, Result(id, decision.payload or b"null"))


def _too_many(what: str) -> Refusal:
    message = f"{what} are under way; wait for an answer, then call again"
    return Refusal(ErrorCode.UNAVAILABLE, message, retry_after=_RETRY_AFTER)
