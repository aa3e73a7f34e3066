"""What a client may ask of a room: its past, and who is in it. What knows that is elsewhere, and answers later."""

from collections.abc import Awaitable
from typing import NoReturn

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.delivery import Delivery
from forestay.core.ports.bus import Query
from forestay.core.rooms.presence import Presence, paged
from forestay.core.rooms.publishing import Publisher
from forestay.core.rules.access import Right
from forestay.core.rules.policies import Policies, Retention
from forestay.core.sessions.addresses import any_room, public_room
from forestay.protocol import requests
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import RoomName
from forestay.protocol.v1.encoder import listed


class Queries:
    """What is returned has to be awaited before the next request of that client. All of them raise Refusal."""

    def __init__(self, presence: Presence, publisher: Publisher, delivery: Delivery, policies: Policies) -> None:
        self._presence = presence
        self._publisher = publisher
        self._delivery = delivery
        self._policies = policies

    def history(self, connection: Connection, request: requests.History) -> Awaitable[None]:
        name = any_room(connection, request.room)
        kept = self._policies.of(name).history
        if kept is None:
            self._lacking(connection, request, Right.HISTORY, "history")
        connection.identity.require(Right.HISTORY, name)
        return self._read(connection, request, name, kept)

    def presence(self, connection: Connection, request: requests.Presence) -> Awaitable[None]:
        name = public_room(request.room)
        if not self._policies.of(name).presence:
            self._lacking(connection, request, Right.PRESENCE, "presence")
        connection.identity.require(Right.PRESENCE, name)
        return self._count(connection, request, name)

    async def _read(self, connection: Connection, request: requests.History, name: RoomName, kept: Retention) -> None:
        try:
            page = await self._publisher.history(name, Query(request.limit, request.since, request.before), kept)
        except Refusal as refusal:
            self._delivery.refuse(connection, refusal, request.id, request.room)
            return
        payload = {"epoch": page.top.epoch, "messages": listed(page.messages), "more": page.more}
        self._delivery.say(connection, "history", id=request.id, room=name, payload=payload)

    async def _count(self, connection: Connection, request: requests.Presence, name: RoomName) -> None:
        try:
            roll = await self._presence.presence_page(name, request.after, request.limit)
        except Refusal as refusal:
            self._delivery.refuse(connection, refusal, request.id, request.room)
            return
        self._delivery.say(connection, "presence", id=request.id, room=name, payload=paged(roll))

    def _lacking(self, connection: Connection, request: requests.RoomRequest, right: Right, feature: str) -> NoReturn:
        """Whoever may not ask is told that first: it is none of theirs what a room has."""
        connection.identity.require(right, any_room(connection, request.room))
        raise Refusal(ErrorCode.FORBIDDEN, f"this room has no {feature}")
