"""A client's sentence in, its effect out: the one module that knows the whole story.

What a client wants is checked here against its rights and limits, given to the bus, and comes back from it to be
delivered. Everything is synchronous but what the world must be asked; that is returned to be awaited, so that the
sentences of one client keep their order.
"""

from collections.abc import Awaitable
from struct import unpack_from
from typing import Final, assert_never

from forestay.core.fanout.connection import Connection
from forestay.core.ports.bus import Settlement, Verifier
from forestay.core.ports.observer import RefusedMessage
from forestay.core.ports.runtime import World
from forestay.core.rooms.membership import Entrance, Membership, Parting, Wish
from forestay.core.rooms.presence import paged
from forestay.core.rooms.publishing import Publisher, refusal_of
from forestay.core.rules.access import Right
from forestay.core.sessions.addresses import any_room, public_room
from forestay.core.sessions.queries import Questions
from forestay.core.sessions.sessions import Reception
from forestay.protocol import requests as said
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName, parse_room
from forestay.protocol.trace import parse_trace
from forestay.protocol.v1.encoder import placed, pong_frame
from forestay.protocol.v1.reader import Reader, Unreadable, wire_size

MOST_BINDINGS: Final = 256
"""Binary types that one connection can bind: a client may ask for any number, we keep a bounded one."""


class Gateway:
    def __init__(
        self,
        world: World,
        reader: Reader,
        verifier: Verifier,
        reception: Reception,
        membership: Membership,
        publisher: Publisher,
    ) -> None:
        self._world = world
        self._reader = reader
        self._verifier = verifier
        self.reception = reception
        self._membership = membership
        self._publisher = publisher
        self._terms = reception.terms
        self._delivery = membership.delivery
        self._policies = membership.policies
        self._questions = Questions(membership.presence, publisher, membership.delivery, membership.policies)

    def text(self, connection: Connection, text: str) -> Awaitable[None] | None:
        """A client said `text`. What is returned has to be awaited before its next message is given to us."""
        observer = self._world.observer
        try:
            sentence = self._reader.read(text)
        except Unreadable as unreadable:
            if observer is not None:
                observer.received("unreadable", wire_size(text))
            if self._allowed(connection, unreadable.id, unreadable.room):
                self._delivery.refuse(connection, unreadable.refusal, unreadable.id, unreadable.room)
            return None
        if observer is not None:
            observer.received(str(sentence.__struct_config__.tag), wire_size(text))
        room = sentence.room if isinstance(sentence, said.InRoom) else None
        if not self._allowed(connection, sentence.id, room):
            return None
        try:
            return self._do(connection, sentence)
        except Refusal as refusal:
            message = self._refused(sentence) if isinstance(sentence, said.Broadcast) else None
            self._delivery.refuse(connection, refusal, sentence.id, room, message)
            return None

    def binary(self, connection: Connection, data: bytes) -> None:
        """A client sent a binary message: a big-endian `uint32` type and any bytes."""
        if self._world.observer is not None:
            self._world.observer.received("binary", len(data))
        if not self._allowed(connection, None, None):
            return
        try:
            if len(data) < 4:
                raise Refusal(ErrorCode.BAD_BINARY, "a binary message starts with its type, four bytes big-endian")
            (kind,) = unpack_from("!I", data)
            name = self._bound(connection, kind)
            connection.identity.require(Right.BROADCAST, name)
            message = Message(
                name,
                data,
                self._publisher.stamp(),
                sender=connection.identity.user,
                binary=True,
                exclude=self._excluded(connection, name, echo=None),
            )
            self._publish(connection, message, None)
        except Refusal as refusal:
            self._delivery.refuse(connection, refusal, None, None, RefusedMessage(trace=None, pattern=None))

    def ping(self, connection: Connection, data: bytes) -> None:
        """A client's protocol ping; it counts as a message, for it costs as much."""
        if self._allowed(connection, None, None):
            self._delivery.answer(connection, pong_frame(data))

    def pong(self, connection: Connection) -> None:
        self._allowed(connection, None, None)

    def _allowed(self, connection: Connection, id: str | None, room: str | None) -> bool:
        """Note a sign of life and spend one message of the client's rate; what exceeds it is refused here."""
        now = self._world.loop.time()
        connection.heard_at = now
        terms = self._terms
        if not terms.rate:
            return True
        wait = connection.bucket.wait(terms.rate, terms.burst, now)
        if not wait:
            return True
        message = f"more than {terms.rate:g} messages per second; wait for retry_after_ms"
        self._delivery.refuse(connection, Refusal(ErrorCode.RATE_LIMITED, message, retry_after=wait), id, room)
        if connection.bucket.exhausted(now):
            self.reception.end(connection, ENDINGS[CloseCode.RATE_LIMITED])
        return False

    def _do(self, connection: Connection, sentence: said.Said) -> Awaitable[None] | None:
        match sentence:
            case said.Broadcast():
                self._broadcast(connection, sentence)
            case said.Join():
                self._join(connection, sentence)
            case said.Leave():
                self._leave(connection, sentence)
            case said.Ping():
                self._delivery.say(connection, "pong", id=sentence.id)
            case said.Pong():
                pass
            case said.Bind():
                self._bind(connection, sentence)
            case said.Presence():
                return self._questions.presence(connection, sentence)
            case said.History():
                return self._questions.history(connection, sentence)
            case said.Auth():
                return self._renew(connection, sentence)
            case _:
                assert_never(sentence)
        return None

    def _broadcast(self, connection: Connection, sentence: said.Broadcast) -> None:
        name = public_room(sentence.room)
        connection.identity.require(Right.BROADCAST, name)
        trace = None
        if sentence.traceparent is not None:
            trace = parse_trace(sentence.traceparent, sentence.tracestate)
        message = Message(
            name,
            bytes(sentence.payload),
            self._publisher.stamp(),
            sender=connection.identity.user,
            exclude=self._excluded(connection, name, echo=sentence.echo),
            trace=trace,
        )
        self._publish(connection, message, sentence.id, sentence.key)

    def _join(self, connection: Connection, sentence: said.Join) -> None:
        name = any_room(connection, sentence.room)
        connection.identity.require(Right.JOIN, name)
        under_way = connection.joining or ()
        if (
            name not in connection.rooms
            and name not in under_way
            and (len(connection.rooms) + len(under_way) >= self._terms.rooms)
        ):
            raise Refusal(ErrorCode.TOO_MANY_ROOMS, f"a connection may be in {self._terms.rooms} rooms; leave one")

        def entered(entrance: Entrance) -> None:
            payload = placed(entrance.position)
            if entrance.recovered is not None:
                payload["recovered"] = entrance.recovered
            if entrance.roll is not None:
                payload["members"] = paged(entrance.roll)
            self._delivery.say(connection, "joined", id=sentence.id, room=name, payload=payload)

        def refused(refusal: Refusal) -> None:
            self._delivery.refuse(connection, refusal, sentence.id, sentence.room)

        roll = self._policies.of(name).presence and Right.PRESENCE in connection.identity.rights.of(name)
        self._membership.join(Wish(connection, name, sentence.since, entered, refused, roll))

    def _leave(self, connection: Connection, sentence: said.Leave) -> None:
        name = any_room(connection, sentence.room)

        def left() -> None:
            self._delivery.say(connection, "left", id=sentence.id, room=name)

        def refused(refusal: Refusal) -> None:
            self._delivery.refuse(connection, refusal, sentence.id, sentence.room)

        self._membership.part(Parting(connection, name, left, refused))

    def _bind(self, connection: Connection, sentence: said.Bind) -> None:
        name = public_room(sentence.room)
        connection.identity.require(Right.BROADCAST, name)
        bindings = connection.bindings
        if bindings is None:
            bindings = connection.bindings = {}
        if len(bindings) >= MOST_BINDINGS and sentence.payload.type not in bindings:
            raise Refusal(ErrorCode.TOO_MANY_ROOMS, f"a connection may bind {MOST_BINDINGS} types")
        bindings[sentence.payload.type] = name
        self._delivery.say(connection, "ack", id=sentence.id, room=name, payload={})

    async def _renew(self, connection: Connection, sentence: said.Auth) -> None:
        try:
            identity = await self._verifier.verify(sentence.payload.token)
            if connection.ended is None:
                self.reception.renew(connection, identity)
                self._delivery.say(connection, "ack", id=sentence.id, payload={})
        except Refusal as refusal:
            self._delivery.refuse(connection, refusal, sentence.id, None)

    def _bound(self, connection: Connection, kind: int) -> RoomName:
        """The room for binary type `kind`: the bound one, else the only one the connection is in."""
        name = connection.bindings.get(kind) if connection.bindings else None
        if name is not None:
            return name
        rooms = connection.public_rooms()
        if len(rooms) != 1:
            raise Refusal(ErrorCode.UNBOUND_TYPE, f"type {kind} is bound to no room; bind it, or be in one room only")
        return rooms[0]

    def _excluded(self, connection: Connection, name: RoomName, *, echo: bool | None) -> str | None:
        """Who is not to hear a message: its sender, where it or the room's policy says so."""
        heard = self._policies.of(name).echo if echo is None else echo
        return None if heard else connection.id

    def _refused(self, sentence: said.Broadcast) -> RefusedMessage:
        name = parse_room(sentence.room)
        pattern = None if name is None else self._policies.of(name).pattern
        return RefusedMessage(parse_trace(sentence.traceparent, sentence.tracestate), pattern)

    def _publish(self, connection: Connection, message: Message, id: str | None, key: str | None = None) -> None:
        def settled(settlement: Settlement) -> None:
            refusal = refusal_of(settlement.outcome)
            if refusal is not None:
                pattern = self._policies.of(message.room).pattern
                refused = RefusedMessage(message.trace, pattern, offered=True)
                self._delivery.refuse(connection, refusal, id, message.room, refused)
            elif id is not None:
                self._delivery.say(connection, "ack", id=id, payload=placed(settlement.position))

        self._publisher.publish(message, connection.source, settled, key)
