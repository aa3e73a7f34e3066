"""Joins the rooms that a client names when it connects, where it cannot ask for them again."""

from collections.abc import Sequence
from functools import partial

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.rooms.turns import Turn, Turns
from forestay.core.sessions.room_requests import RoomRequests
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.requests import Join


class FirstRooms:
    """Lets new connections into the rooms that they name."""

    def __init__(self, rooms: RoomRequests, outbox: Outbox) -> None:
        self._rooms = rooms
        self._outbox = outbox

    def join(self, connection: Connection, joins: Sequence[Join]) -> None:
        """Let `connection` into the rooms of `joins`, and answer each of them in order, as for requests of a client.

        Where a room cannot be had now, the connection ends: its client has no other way to ask again than to come back.
        """
        turns = Turns()
        for place, join in enumerate(joins):
            if connection.ended is not None:
                return
            turn = Turn(turns, place)
            refuse = partial(self._refuse, connection, join.room)
            try:
                self._rooms.join(connection, join, turn, refuse)
            except Refusal as refusal:
                turn.answer(partial(refuse, refusal))

    def _refuse(self, connection: Connection, room: str, refusal: Refusal) -> None:
        self._outbox.refuse(connection, refusal, None, room)
        if refusal.code is ErrorCode.UNAVAILABLE:
            connection.end(ENDINGS[CloseCode.TRY_AGAIN_LATER])
