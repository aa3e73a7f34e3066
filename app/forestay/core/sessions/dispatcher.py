"""A client's request in, its effect out: the one module that knows the whole story.

What a client wants is checked here against its rights and limits, given to the bus, and comes back from it to be
delivered. Everything is synchronous but what the world must be asked; that is returned to be awaited, so that the
requests of one client keep their order.
"""

from collections.abc import Awaitable
from struct import unpack_from
from typing import Final, assert_never

from forestay.core.fanout.connection import Connection
from forestay.core.ports.bus import Settlement
from forestay.core.ports.observer import RefusedMessage
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.verifier import Verifier
from forestay.core.rooms.membership import Joined, JoinRequest, LeaveRequest, Membership
from forestay.core.rooms.presence import paged
from forestay.core.rooms.publishing import Publisher, refusal_of
from forestay.core.rules.access import Right
from forestay.core.sessions.addresses import any_room, public_room
from forestay.core.sessions.queries import Queries
from forestay.core.sessions.sessions import Sessions
from forestay.protocol import requests
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName, parse_room
from forestay.protocol.trace import parse_trace
from forestay.protocol.v1.encoder import placed, pong_frame
from forestay.protocol.v1.reader import Reader, Unreadable, wire_size

MOST_BINDINGS: Final = 256
"""Binary types that one connection can bind: a client may ask for any number, we keep a bounded one."""


class Dispatcher:
    def __init__(
        self,
        runtime: Runtime,
        reader: Reader,
        verifier: Verifier,
        sessions: Sessions,
        membership: Membership,
        publisher: Publisher,
    ) -> None:
        self._runtime = runtime
        self._reader = reader
        self._verifier = verifier
        self.sessions = sessions
        self._membership = membership
        self._publisher = publisher
        self._terms = sessions.terms
        self._delivery = membership.delivery
        self._policies = membership.policies
        self._queries = Queries(membership.presence, publisher, membership.delivery, membership.policies)

    def text(self, connection: Connection, text: str) -> Awaitable[None] | None:
        """A client said `text`. What is returned has to be awaited before its next message is given to us."""
        observer = self._runtime.observer
        try:
            request = self._reader.read(text)
        except Unreadable as unreadable:
            if observer is not None:
                observer.received("unreadable", wire_size(text))
            if self._allowed(connection, unreadable.id, unreadable.room):
                self._delivery.refuse(connection, unreadable.refusal, unreadable.id, unreadable.room)
            return None
        if observer is not None:
            observer.received(str(request.__struct_config__.tag), wire_size(text))
        room = request.room if isinstance(request, requests.RoomRequest) else None
        if not self._allowed(connection, request.id, room):
            return None
        try:
            return self._do(connection, request)
        except Refusal as refusal:
            message = self._refused(request) if isinstance(request, requests.Broadcast) else None
            self._delivery.refuse(connection, refusal, request.id, room, message)
            return None

    def binary(self, connection: Connection, data: bytes) -> None:
        """A client sent a binary message: a big-endian `uint32` type and any bytes."""
        if self._runtime.observer is not None:
            self._runtime.observer.received("binary", len(data))
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
        now = self._runtime.loop.time()
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
            self.sessions.end(connection, ENDINGS[CloseCode.RATE_LIMITED])
        return False

    def _do(self, connection: Connection, request: requests.Request) -> Awaitable[None] | None:
        match request:
            case requests.Broadcast():
                self._broadcast(connection, request)
            case requests.Join():
                self._join(connection, request)
            case requests.Leave():
                self._leave(connection, request)
            case requests.Ping():
                self._delivery.say(connection, "pong", id=request.id)
            case requests.Pong():
                pass
            case requests.Bind():
                self._bind(connection, request)
            case requests.Presence():
                return self._queries.presence(connection, request)
            case requests.History():
                return self._queries.history(connection, request)
            case requests.Auth():
                return self._renew(connection, request)
            case _:
                assert_never(request)
        return None

    def _broadcast(self, connection: Connection, request: requests.Broadcast) -> None:
        name = public_room(request.room)
        connection.identity.require(Right.BROADCAST, name)
        trace = None
        if request.traceparent is not None:
            trace = parse_trace(request.traceparent, request.tracestate)
        message = Message(
            name,
            bytes(request.payload),
            self._publisher.stamp(),
            sender=connection.identity.user,
            exclude=self._excluded(connection, name, echo=request.echo),
            trace=trace,
        )
        self._publish(connection, message, request.id, request.key)

    def _join(self, connection: Connection, request: requests.Join) -> None:
        name = any_room(connection, request.room)
        connection.identity.require(Right.JOIN, name)
        under_way = connection.joining or ()
        if (
            name not in connection.rooms
            and name not in under_way
            and (len(connection.rooms) + len(under_way) >= self._terms.rooms)
        ):
            raise Refusal(ErrorCode.TOO_MANY_ROOMS, f"a connection may be in {self._terms.rooms} rooms; leave one")

        def entered(entrance: Joined) -> None:
            payload = placed(entrance.position)
            if entrance.recovered is not None:
                payload["recovered"] = entrance.recovered
            if entrance.roll is not None:
                payload["members"] = paged(entrance.roll)
            self._delivery.say(connection, "joined", id=request.id, room=name, payload=payload)

        def refused(refusal: Refusal) -> None:
            self._delivery.refuse(connection, refusal, request.id, request.room)

        roll = self._policies.of(name).presence and Right.PRESENCE in connection.identity.rights.of(name)
        self._membership.join(JoinRequest(connection, name, request.since, entered, refused, roll))

    def _leave(self, connection: Connection, request: requests.Leave) -> None:
        name = any_room(connection, request.room)

        def left() -> None:
            self._delivery.say(connection, "left", id=request.id, room=name)

        def refused(refusal: Refusal) -> None:
            self._delivery.refuse(connection, refusal, request.id, request.room)

        self._membership.part(LeaveRequest(connection, name, left, refused))

    def _bind(self, connection: Connection, request: requests.Bind) -> None:
        name = public_room(request.room)
        connection.identity.require(Right.BROADCAST, name)
        bindings = connection.bindings
        if bindings is None:
            bindings = connection.bindings = {}
        if len(bindings) >= MOST_BINDINGS and request.payload.type not in bindings:
            raise Refusal(ErrorCode.TOO_MANY_ROOMS, f"a connection may bind {MOST_BINDINGS} types")
        bindings[request.payload.type] = name
        self._delivery.say(connection, "ack", id=request.id, room=name, payload={})

    async def _renew(self, connection: Connection, request: requests.Auth) -> None:
        try:
            identity = await self._verifier.verify(request.payload.token)
            if connection.ended is None:
                self.sessions.renew(connection, identity)
                self._delivery.say(connection, "ack", id=request.id, payload={})
        except Refusal as refusal:
            self._delivery.refuse(connection, refusal, request.id, None)

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

    def _refused(self, request: requests.Broadcast) -> RefusedMessage:
        name = parse_room(request.room)
        pattern = None if name is None else self._policies.of(name).pattern
        return RefusedMessage(parse_trace(request.traceparent, request.tracestate), pattern)

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
