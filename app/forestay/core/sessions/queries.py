"""Answers the requests `history` and `presence`."""

from collections.abc import Awaitable
from typing import NoReturn

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.bus import Query
from forestay.core.rooms.presence import Presence
from forestay.core.rooms.publishing import Publisher
from forestay.core.rules.access import Identity, Right
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
        return self._answer(connection, request, self.read_history(connection.identity, request))

    def presence(self, connection: Connection, request: requests.Presence) -> Awaitable[None]:
        """Send a page of the users in a room."""
        return self._answer(connection, request, self.read_presence(connection.identity, request))

    def read_history(self, identity: Identity, request: requests.History) -> Awaitable[HistoryReply]:
        """Read a page of the history of a room, for a caller with this identity."""
        name = any_room(identity, request.room)
        kept = self._policies.of(name).history
        if kept is None:
            _refuse_missing(identity, name, Right.HISTORY, "history")
        identity.require(Right.HISTORY, name)
        return self._history(request, name, kept)

    def read_presence(self, identity: Identity, request: requests.Presence) -> Awaitable[PresenceReply]:
        """Read a page of the users in a room, for a caller with this identity."""
        name = public_room(request.room)
        if not self._policies.of(name).presence:
            _refuse_missing(identity, name, Right.PRESENCE, "presence")
        identity.require(Right.PRESENCE, name)
        return self._presence_page(request, name)

    async def _history(self, request: requests.History, name: RoomName, kept: Retention) -> HistoryReply:
        query = Query(request.limit, request.since, request.before, self._page_bytes)
        page = await self._publisher.history(name, query, kept)
        newest = request.since is None
        return HistoryReply(request.id, name, page.top.epoch, page.messages, page.more, newest)

    async def _presence_page(self, request: requests.Presence, name: RoomName) -> PresenceReply:
        page = await self._presence.page(name, request.after, request.limit, self._page_bytes)
        return PresenceReply(request.id, name, page)

    async def _answer(
        self,
        connection: Connection,
        request: requests.History | requests.Presence,
        answer: Awaitable[HistoryReply | PresenceReply],
    ) -> None:
        try:
            reply = await answer
        except Refusal as refusal:
            self._outbox.refuse(connection, refusal, request.id, request.room)
            return
        await self._outbox.send_large(connection, reply)


def _refuse_missing(identity: Identity, name: RoomName, right: Right, feature: str) -> NoReturn:
    """Refuse by the right first: a caller without it must not learn what the room has."""
    identity.require(right, name)
    raise Refusal(ErrorCode.FORBIDDEN, f"this room has no {feature}")
