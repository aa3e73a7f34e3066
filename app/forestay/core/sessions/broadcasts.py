"""Carries out the requests that publish: broadcasts, binary messages, and the binding of binary types to rooms."""

from asyncio import Future
from collections.abc import Awaitable
from struct import unpack_from
from typing import Final

from forestay.core.facts.source import Source
from forestay.core.fanout.callers import caller_of
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.hooks.decisions import Decision
from forestay.core.ports.bus import Settlement
from forestay.core.ports.observer import RefusedMessage
from forestay.core.rooms.publishing import Offer, Publisher, refusal_of
from forestay.core.rules.access import Identity, Right
from forestay.core.rules.hooks import Hook
from forestay.core.rules.policies import Policies, Policy
from forestay.core.sessions.addresses import public_room
from forestay.core.sessions.broadcast_hook import AskedMessage, BroadcastHook
from forestay.protocol import requests
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.events import check_event
from forestay.protocol.json_in_binary import is_json
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName, parse_room
from forestay.protocol.replies import Ack
from forestay.protocol.trace import TraceContext, parse_trace

_MISREAD: Final = "this binary message is JSON; send JSON in a text message. To send it as binary, bind type"

MAX_BINDINGS: Final = 256
"""Binary types that one connection can bind. It bounds what a client can make the gateway keep."""


class Broadcasts:
    """Publishes for clients. All methods raise Refusal; the outcome of a publish comes later, as a reply.

    Those that publish return what must be awaited before the next request of the client is taken: the application is
    asked. Where it answers at once, or is not asked, they return None.
    """

    def __init__(
        self, policies: Policies, publisher: Publisher, outbox: Outbox, hook: BroadcastHook | None = None
    ) -> None:
        """`hook`: None where the application has no hooks."""
        self._hook = hook
        self._policies = policies
        self._publisher = publisher
        self._outbox = outbox

    def broadcast(self, connection: Connection, request: requests.Broadcast) -> Awaitable[None] | None:
        """Publish a JSON message."""
        trace = None
        if request.traceparent is not None:
            trace = parse_trace(request.traceparent, request.tracestate)
        name = target(connection.identity, request.room)
        policy = self._policies.of(name)
        message = self.json_message(connection.identity, name, policy, request, connection.id, trace)
        offer = _ClientOffer(message, connection, request.id, self)
        if policy.hooks:
            return self._ask(offer, policy, request.room, request.key)
        self._publisher.publish(offer, request.key)
        return None

    def binary(self, connection: Connection, request: requests.Binary) -> Awaitable[None] | None:
        """Publish a binary message to the room that it names, or to that of its type."""
        data = request.data
        if len(data) < 4:
            raise Refusal(ErrorCode.BAD_BINARY, "a binary message starts with its type, four bytes big-endian")
        (kind,) = unpack_from("!I", data)
        if request.room is not None:
            name = public_room(request.room)
        elif not (connection.bindings and kind in connection.bindings) and is_json(data):
            raise Refusal(ErrorCode.BAD_BINARY, f"{_MISREAD} {kind} first")
        else:
            name = self._bound_room(connection, kind)
        policy = self._policies.of(name)
        message = self.binary_message(connection.identity, name, policy, request, connection.id, None)
        offer = _ClientOffer(message, connection, request.id, self)
        if policy.hooks:
            return self._ask(offer, policy, None, None)
        self._publisher.publish(offer)
        return None

    def hook_of(self, policy: Policy) -> BroadcastHook | None:
        """What asks the application about the messages to a room with this policy; None where it is not asked."""
        return self._hook if Hook.BROADCAST in policy.hooks else None

    def _ask(self, offer: "_ClientOffer", policy: Policy, room: str | None, key: str | None) -> Awaitable[None] | None:
        """Publish a message where the application allows it, or is not asked about messages. Raises Refusal."""
        hook = self.hook_of(policy)
        if hook is None:
            self._publisher.publish(offer, key)
            return None
        asked = _Asked(offer, room, key)
        decision = hook.ask(asked)
        if not isinstance(decision, Decision):
            return self._decide_later(hook, asked, decision)
        offer.message = hook.judge(asked, decision)
        self._publisher.publish(offer, key)
        return None

    async def _decide_later(self, hook: BroadcastHook, asked: "_Asked", decision: "Future[Decision]") -> None:
        """Wait for the decision, and publish or refuse. Nothing happens where the connection has ended meanwhile."""
        decided, offer = await decision, asked.offer
        if offer.connection.ended is not None:
            return
        try:
            offer.message = hook.judge(asked, decided, late=True)
            self._publisher.publish(offer, asked.key)
        except Refusal as refusal:
            refused = RefusedMessage(offer.message.trace, self._policies.of(offer.message.room).pattern)
            self._outbox.refuse(offer.connection, refusal, offer.id, asked.room, refused)

    def json_message(
        self,
        identity: Identity,
        name: RoomName,
        policy: Policy,
        request: requests.Broadcast,
        own: str | None,
        trace: TraceContext | None,
    ) -> Message:
        """The message that a caller with this identity publishes by `request` to the room `name`, which is its target.

        `own`: the connection of the caller, which does not get the message where the caller or the policy says so.
        """
        payload = bytes(request.payload)
        event, binary_at, by_client = request.event, "", True
        # A Struct takes long to say that it is no instance of another one.
        if type(request) is requests.Emitted:
            binary_at, by_client = request.binary_at, False
        if event is not None:
            check_event(event, payload, by_client=by_client)
        return Message(
            name,
            payload,
            self._publisher.stamp(),
            sender=identity.user,
            exclude=_excluded(own, policy, echo=request.echo),
            trace=trace,
            event=event,
            binary_at=binary_at,
        )

    def binary_message(
        self,
        identity: Identity,
        name: RoomName,
        policy: Policy,
        request: requests.Binary,
        own: str | None,
        trace: TraceContext | None,
    ) -> Message:
        """The same for a binary message to the room `name`."""
        identity.require(Right.BROADCAST, name)
        return Message(
            name,
            request.data,
            self._publisher.stamp(),
            sender=identity.user,
            binary=True,
            exclude=_excluded(own, policy, echo=request.echo),
            trace=trace,
        )

    def bind(self, connection: Connection, request: requests.Bind) -> None:
        """Send binary messages of one type to a room from now on."""
        name = public_room(request.room)
        connection.identity.require(Right.BROADCAST, name)
        bindings = connection.bindings
        if bindings is None:
            bindings = connection.bindings = {}
        if len(bindings) >= MAX_BINDINGS and request.payload.type not in bindings:
            raise Refusal(ErrorCode.TOO_MANY_ROOMS, f"a connection may bind {MAX_BINDINGS} types")
        bindings[request.payload.type] = name
        self._outbox.send(connection, Ack(request.id, name))

    def refused(self, request: requests.Broadcast | requests.Binary) -> RefusedMessage:
        """The facts about a message that is not published, for the observers."""
        if isinstance(request, requests.Binary):
            return RefusedMessage(trace=None, pattern=None)
        name = parse_room(request.room)
        pattern = None if name is None else self._policies.of(name).pattern
        return RefusedMessage(parse_trace(request.traceparent, request.tracestate), pattern)

    def _bound_room(self, connection: Connection, kind: int) -> RoomName:
        """The room of binary type `kind`: the bound one, else the only room that the connection is in."""
        name = connection.bindings.get(kind) if connection.bindings else None
        if name is not None:
            return name
        rooms = connection.public_rooms()
        if len(rooms) != 1:
            raise Refusal(ErrorCode.UNBOUND_TYPE, f"type {kind} is bound to no room; bind it, or be in one room only")
        return rooms[0]

    def settled(self, offer: "_ClientOffer", settlement: Settlement) -> None:
        """Tell the client the outcome: a refusal always, success where its request has an id."""
        refusal = refusal_of(settlement)
        if refusal is None:
            if offer.id is not None:
                self._outbox.send(offer.connection, Ack(offer.id, position=settlement.position))
            return
        message = offer.message
        refused = RefusedMessage(message.trace, self._policies.of(message.room).pattern, offered=True)
        self._outbox.refuse(offer.connection, refusal, offer.id, message.room, refused)


class _ClientOffer(Offer):
    """What a client publishes."""

    __slots__ = ("_broadcasts", "connection", "id")

    def __init__(self, message: Message, connection: Connection, id: str | None, broadcasts: Broadcasts) -> None:
        """`id`: of the request."""
        super().__init__(message, connection.came_at)
        self._broadcasts = broadcasts
        self.connection = connection
        self.id = id

    def source(self) -> Source:
        return self.connection.source

    def settled(self, settlement: Settlement) -> None:
        self._broadcasts.settled(self, settlement)


class _Asked(AskedMessage):
    """A message of a connection about which the application is asked."""

    __slots__ = ("key", "offer", "room")

    def __init__(self, offer: _ClientOffer, room: str | None, key: str | None) -> None:
        """`room`: as the client wrote it."""
        super().__init__(caller_of(offer.connection), offer.message)
        self.offer = offer
        self.room = room
        self.key = key


def _excluded(own: str | None, policy: Policy, *, echo: bool | None) -> str | None:
    """The connection that does not get the message: `own`, where its sender or the room's policy says so."""
    echoed = policy.echo if echo is None else echo
    return None if echoed else own


def target(identity: Identity, text: str) -> RoomName:
    """The room called `text`, which `identity` may publish to. Raises Refusal."""
    name = identity.rights.target(text)
    if name is None:
        name = public_room(text)
        identity.require(Right.BROADCAST, name)
        identity.rights.note_target(name)
    return name
