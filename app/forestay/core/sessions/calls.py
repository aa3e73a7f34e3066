"""Carries out calls: asks the application's hook, and answers the client by the id of its call.

A call holds no other request of its client, and calls are answered in the order in which the application answers them.
"""

from asyncio import Task
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.runtime import Runtime
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.events import check_method
from forestay.protocol.replies import Result
from forestay.protocol.requests import Call

AT_ONCE: Final = 8
"""Calls of one connection that the application is asked at once, so that one client cannot take all of its places."""

MOST_WAITING: Final = 100
"""Calls of one connection that wait for their turn behind those. Each is a message, which the client's rate counts."""

Ask = Callable[[Connection, Call], Awaitable[bytes]]
"""Asks the application. Returns its answer, which is JSON. Raises Refusal."""


class _UnderWay:
    """The calls of one connection."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[Call] = deque()


class Calls:
    """Asks the application for clients."""

    def __init__(self, runtime: Runtime, ask: Ask | None, outbox: Outbox) -> None:
        """`ask`: None where the application takes no calls."""
        self._loop = runtime.loop
        self._ask = ask
        self._outbox = outbox
        self._under_way: dict[Connection, _UnderWay] = {}
        # The loop holds tasks weakly.
        self._tasks: set[Task[None]] = set()

    def call(self, connection: Connection, request: Call) -> None:
        """Ask the application, now or when a call before this one is answered. Raises Refusal."""
        check_method(request.method)
        if self._ask is None:
            raise Refusal(
                ErrorCode.UNKNOWN_TYPE, "this gateway takes no calls: no hook of its application answers them"
            )
        under_way = self._under_way.get(connection)
        if under_way is None:
            under_way = self._under_way[connection] = _UnderWay()
        if under_way.running < AT_ONCE:
            self._start(self._ask, connection, request, under_way)
        elif len(under_way.waiting) < MOST_WAITING:
            under_way.waiting.append(request)
        else:
            message = f"{AT_ONCE + MOST_WAITING} calls of this connection are under way; wait for their answers"
            raise Refusal(ErrorCode.UNAVAILABLE, message)

    def _start(self, ask: Ask, connection: Connection, request: Call, under_way: _UnderWay) -> None:
        under_way.running += 1
        task = self._loop.create_task(self._carry_out(ask, connection, request))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, connection))

    async def _carry_out(self, ask: Ask, connection: Connection, request: Call) -> None:
        try:
            payload = await ask(connection, request)
        except Refusal as refusal:
            if connection.ended is None:
                self._outbox.refuse(connection, refusal, request.id, None)
            return
        if request.id is not None and connection.ended is None:
            self._outbox.send(connection, Result(request.id, payload))

    def _ended(self, connection: Connection, task: Task[None]) -> None:
        """Ask what waits. If a call failed because of a bug, end its connection, and no other one."""
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a call failed", "exception": bug, "task": task})
            connection.end(ENDINGS[CloseCode.INTERNAL_ERROR])
        under_way = self._under_way[connection]
        under_way.running -= 1
        if connection.ended is not None:
            # What was not asked yet has had no effect.
            under_way.waiting.clear()
        if self._ask is not None and under_way.waiting:
            self._start(self._ask, connection, under_way.waiting.popleft(), under_way)
        elif not under_way.running:
            del self._under_way[connection]
