"""What a client may ask of a room: its past, and who is in it. What knows that is elsewhere, and answers later."""

from collections.abc import Awaitable
from typing import NoReturn

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.delivery import Delivery
from forestay.core.ports.bus import Query, Retention
from forestay.core.rooms.presence import Presence, paged
from forestay.core.rooms.publishing import Publisher
from forestay.core.rules.access import Right
from forestay.core.rules.policies import Policies
from forestay.core.sessions.addresses import any_room, public_room
from forestay.protocol import requests as said
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import RoomName
from forestay.protocol.v1.encoder import listed


class Questions:
    """What is returned has to be awaited before the next sentence of that client. All of them raise Refusal."""

    def __init__(self, presence: Presence, publisher: Publisher, delivery: Delivery, policies: Policies) -> None:
        self._presence = presence
        self._publisher = publisher
        self._delivery = delivery
        self._policies = policies

    def history(self, connection: Connection, sentence: said.History) -> Awaitable[None]:
        name = any_room(connection, sentence.room)
        kept = self._policies.of(name).history
        if kept is None:
            self._lacking(connection, sentence, Right.HISTORY, "history")
        connection.identity.require(Right.HISTORY, name)
        return self._read(connection, sentence, name, kept)

    def presence(self, connection: Connection, sentence: said.Presence) -> Awaitable[None]:
        name = public_room(sentence.room)
        if not self._policies.of(name).presence:
            self._lacking(connection, sentence, Right.PRESENCE, "presence")
        connection.identity.require(Right.PRESENCE, name)
        return self._count(connection, sentence, name)

    async def _read(self, connection: Connection, sentence: said.History, name: RoomName, kept: Retention) -> None:
        try:
            page = await self._publisher.history(name, Query(sentence.limit, sentence.since, sentence.before), kept)
        except Refusal as refusal:
            self._delivery.refuse(connection, refusal, sentence.id, sentence.room)
            return
        payload = {"epoch": page.top.epoch, "messages": listed(page.messages), "more": page.more}
        self._delivery.say(connection, "history", id=sentence.id, room=name, payload=payload)

    async def _count(self, connection: Connection, sentence: said.Presence, name: RoomName) -> None:
        try:
            roll = await self._presence.roll(name, sentence.after, sentence.limit)
        except Refusal as refusal:
            self._delivery.refuse(connection, refusal, sentence.id, sentence.room)
            return
        self._delivery.say(connection, "presence", id=sentence.id, room=name, payload=paged(roll))

    def _lacking(self, connection: Connection, sentence: said.InRoom, right: Right, feature: str) -> NoReturn:
        """Whoever may not ask is told that first: it is none of theirs what a room has."""
        connection.identity.require(right, any_room(connection, sentence.room))
        raise Refusal(ErrorCode.FORBIDDEN, f"this room has no {feature}")
