"""One Socket.IO client: reads its packets, and knows in which namespaces it is.

The engine below carries the messages, and an application above decides what they mean. The gateway's own application is
`Connecting`.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, assert_never

from msgspec import Raw

from forestay.core.rules.rate_limit import TokenBucket
from forestay.edge.engineio.application import Session
from forestay.protocol.codes import CloseCode, Ending, Verdict, verdict
from forestay.protocol.socketio.packets import Ack, Connect, Decoder, Disconnect, Event, Malformed, Packet, RefusedEvent
from forestay.protocol.socketio.wire import refused

MAX_NAMESPACES: Final = 16
"""Namespaces that one client can be in. Each is a connection of its user."""

# A client that asks for entry more often than this waits that many seconds for each answer: entry costs much.
_FREE_ENTRIES: Final = 2 * MAX_NAMESPACES
_PAUSE: Final = 0.25

_LEFT: Final = Ending(CloseCode.NORMAL, "the client left the namespace", by_client=True)


class Member(Protocol):
    """One client in one namespace, as the application sees it."""

    def event(self, event: Event) -> Awaitable[None] | None:
        """Take an event. Returns what must be awaited before the next one."""

    def refused(self, refused: RefusedEvent) -> None:
        """Take an event that is refused."""

    def acknowledged(self, size: int) -> None:
        """Take an answer. Nothing waits for it."""

    def end(self, ending: Ending) -> None:
        """The session ends with `ending`: write what is still to be written. Does nothing where it has ended."""

    def lost(self, ending: Ending) -> None:
        """The client has left the namespace, or is gone. Called once, at last."""


class Application(Protocol):
    """Decides who may enter which namespace, and takes the events of those who did."""

    def has(self, namespace: str) -> bool:
        """Whether there is such a namespace."""

    async def enter(self, client: "SocketioClient", namespace: str, auth: Mapping[str, Raw]) -> None:
        """Let the client in by `add`, or refuse it. Nothing more is read from the client until then."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is kept of the request that opened a session."""

    address: str | None
    """Of the client, where it is known."""
    token: str | None
    """In its header or its URL."""
    deaf: bool
    """Whether the client hears nothing of a close frame until its ping timeout, as stock clients on OkHttp do."""
    page: str | None = None
    """What its header `Origin` says; None without one."""


class SocketioClient:
    """One client, from the opening of its session to its end. The Listener of the engine."""

    __slots__ = (
        "_application",
        "_closing",
        "_decoder",
        "_entries",
        "_expelled",
        "_members",
        "bucket",
        "origin",
        "session",
    )

    def __init__(self, session: Session, origin: Origin, application: Application, decoder: Decoder) -> None:
        self.session = session
        self.origin = origin
        self._application = application
        self._decoder = decoder
        self._members: dict[str, Member] = {}
        self._entries = 0
        self._expelled: set[str] | None = None
        """Namespaces that the application ended while packets for them could be on their way."""
        self._closing = False
        self.bucket: TokenBucket | None = None
        """What the client may send, in all its namespaces together. Written by the application."""

    def text(self, data: str) -> Awaitable[None] | None:
        """Take a text message. Returns what must be awaited before the next message."""
        try:
            packet = self._decoder.text(data)
        except Malformed as malformed:
            self._break(str(malformed))
            return None
        return None if packet is None else self._take(packet)

    def binary(self, data: bytes) -> Awaitable[None] | None:
        """Take a binary message. Returns what must be awaited before the next message."""
        try:
            packet = self._decoder.binary(data)
        except Malformed as malformed:
            self._break(str(malformed))
            return None
        return None if packet is None else self._take(packet)

    def end(self, ending: Ending) -> None:
        """The session ends: let all members write what they still have."""
        self._closing = True
        for member in list(self._members.values()):
            member.end(ending)

    def lost(self, ending: Ending) -> None:
        """The session is gone. Called once, at last."""
        self._closing = True
        members, self._members = self._members, {}
        for member in members.values():
            member.lost(ending)

    def gone(self) -> bool:
        """Whether the session has ended or is about to."""
        return self._closing or self.session.closed()

    def add(self, namespace: str, member: Member) -> None:
        """The client is in `namespace` from now on, or about to be: it is told what happens to the session."""
        self._members[namespace] = member

    def expel(self, namespace: str, ending: Ending) -> None:
        """The application has ended the client in `namespace`, and told it. The session ends with its last one."""
        member = self._members.pop(namespace, None)
        if member is not None:
            member.lost(ending)
        if self._expelled is None:
            self._expelled = set()
        self._expelled.add(namespace)
        if not self._members:
            self.close(ending)

    def close(self, ending: Ending) -> None:
        """End the session, with all of its namespaces. Nothing happens the second time."""
        if not self._closing:
            self.end(ending)
            comes_back = verdict(ending.code) is not Verdict.STOP
            self.session.end(ending, cut=self.origin.deaf and comes_back)

    def _take(self, packet: Packet) -> Awaitable[None] | None:
        if self._closing:
            return None
        namespace = packet.namespace
        member = self._members.get(namespace)
        if member is None:
            if isinstance(packet, Connect):
                return self._connect(packet)
            # A client may leave twice, and may not know yet that it was expelled.
            if not isinstance(packet, Disconnect) and (self._expelled is None or namespace not in self._expelled):
                self._break("a packet for a namespace that the client is not in")
            return None
        match packet:
            case Event():
                return member.event(packet)
            case RefusedEvent():
                member.refused(packet)
            case Ack():
                member.acknowledged(packet.size)
            case Disconnect():
                self._leave(namespace, member)
            case Connect():
                pass  # It is in. Applications ask twice where they connect by hand what connects by itself.
            case _:
                assert_never(packet)
        return None

    def _leave(self, namespace: str, member: Member) -> None:
        del self._members[namespace]
        member.end(_LEFT)
        member.lost(_LEFT)
        if not self._members:
            self.session.served(served=False)

    async def _connect(self, packet: Connect) -> None:
        namespace = packet.namespace
        self._entries += 1
        if self._entries > _FREE_ENTRIES:
            await asyncio.sleep(_PAUSE)
        if not self._application.has(namespace):
            # Word for word what Socket.IO's own server answers.
            self.session.write(refused(namespace, "Invalid namespace"))
        elif len(self._members) >= MAX_NAMESPACES:
            message = f"a client can be in {MAX_NAMESPACES} namespaces; leave one first"
            self.session.write(refused(namespace, message, {"code": "too_many_rooms"}))
        else:
            await self._application.enter(self, namespace, packet.auth)

    def _break(self, reason: str) -> None:
        """Close the transport of a client that broke the form of packets. The client may come back."""
        if not self._closing:
            self.session.fail(reason)
