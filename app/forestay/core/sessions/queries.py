"""Answers the requests `history` and `presence`."""

from collections.abc import Awaitable
from typing import NoReturn

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.bus import Query
from forestay.core.rooms.presence import Presence
from forestay.core.rooms.publishing import Publisher
from forestay.core.rules.access import Right
from forestay.core.rules.policies import Policies, Retention
from forestay.core.sessions.addresses import any_room, public_room
from forestay.protocol import requests
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import RoomName
from forestay.protocol.replies import HistoryReply, PresenceReply


class Queries:
    """The caller awaits what a method returns before the next request of that client. All methods raise Refusal."""

    def __init__(
        self, policies: Policies, presence: Presence, publisher: Publisher, outbox: Outbox, page_bytes: int
    ) -> None:
        """`page_bytes`: the largest message, and so all that is read for a page. The wire cuts the rest."""
        self._policies = policies
        self._presence = presence
        self._publisher = publisher
        self._outbox = outbox
        self._page_bytes = page_bytes

    def history(self, connection: Connection, request: requests.History) -> Awaitable[None]:
        """Send a page of the history of a room."""
        name = any_room(connection.identity, request.room)
        kept = self._policies.of(name).history
        if kept is None:
            self._refuse_missing(connection, name, Right.HISTORY, "history")
        connection.identity.require(Right.HISTORY, name)
        return self._send_history(connection, request, name, kept)

    def presence(self, connection: Connection, request: requests.Presence) -> Awaitable[None]:
        """Send a page of the users in a room."""
        name = public_room(request.room)
        if not self._policies.of(name).presence:
            self._refuse_missing(connection, name, Right.PRESENCE, "presence")
        connection.identity.require(Right.PRESENCE, name)
        return self._send_presence(connection, request, name)

    async def _send_history(
        self, connection: Connection, request: requests.History, name: RoomName, kept: Retention
    ) -> None:
        try:
            query = Query(request.limit, request.since, request.before, self._page_bytes)
            page = await self._publisher.history(name, query, kept)
        except Refusal as refusal:
            self._outbox.refuse(connection, refusal, request.id, request.room)
            return
        newest = request.since is None
        reply = HistoryReply(request.id, name, page.top.epoch, page.messages, page.more, newest)
        await self._outbox.send_large(connection, reply)

    async def _send_presence(self, connection: Connection, request: requests.Presence, name: RoomName) -> None:
        try:
            page = await self._presence.page(name, request.after, request.limit, self._page_bytes)
        except Refusal as refusal:
            self._outbox.refuse(connection, refusal, request.id, request.room)
            return
        await self._outbox.send_large(connection, PresenceReply(request.id, name, page))

    def _refuse_missing(self, connection: Connection, name: RoomName, right: Right, feature: str) -> NoReturn:
        """Refuse by the right first: a client without it must not learn what the room has."""
        connection.identity.require(right, name)
        raise Refusal(ErrorCode.FORBIDDEN, f"this room has no {feature}")
