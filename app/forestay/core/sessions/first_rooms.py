"""Joins the rooms that a client names when it connects, where it cannot ask for them again."""

from asyncio import Task
from collections.abc import Awaitable, Sequence
from functools import partial

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.turns import Turn
from forestay.core.sessions.join_lists import join_in_turn
from forestay.core.sessions.room_requests import RoomRequests
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.requests import Join


class FirstRooms:
    """Lets new connections into the rooms that they name."""

    def __init__(self, runtime: Runtime, rooms: RoomRequests, outbox: Outbox) -> None:
        self._loop = runtime.loop
        self._rooms = rooms
        # The loop holds tasks weakly.
        self._asking: set[Task[None]] = set()
        self._outbox = outbox

    def join(self, connection: Connection, joins: Sequence[Join]) -> None:
        """Let `connection` into the rooms of `joins`, and answer each of them in order, as for requests of a client.

        Where a room cannot be had now, the connection ends: its client has no other way to ask again than to come back.
        Where the application is asked, this goes on in the background, one room after another.
        """
        work = join_in_turn(connection, joins, partial(self._join, connection))
        if work is not None:
            task = self._loop.create_task(work)
            self._asking.add(task)
            task.add_done_callback(partial(self._asked, connection))

    def _join(self, connection: Connection, join: Join, turn: Turn) -> Awaitable[None] | None:
        refuse = partial(self._refuse, connection, join.room)
        try:
            return self._rooms.join(connection, join, turn, refuse)
        except Refusal as refusal:
            turn.answer(partial(refuse, refusal))
            return None

    def _asked(self, connection: Connection, task: Task[None]) -> None:
        """If asking failed because of a bug, end the connection, and no other one."""
        self._asking.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "a join failed", "exception": bug, "task": task})
            connection.end(ENDINGS[CloseCode.INTERNAL_ERROR])

    def _refuse(self, connection: Connection, room: str, refusal: Refusal) -> None:
        self._outbox.refuse(connection, refusal, None, room)
        if refusal.code is ErrorCode.UNAVAILABLE:
            connection.end(ENDINGS[CloseCode.TRY_AGAIN_LATER])
