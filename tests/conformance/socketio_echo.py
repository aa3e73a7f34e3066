"""A Socket.IO server that answers like the one of the public suite, made of the gateway's own edge.

Engine, packets and namespaces are the real ones. Only the application is replaced: it lets everybody in, says `auth`
with what CONNECT brought, sends the arguments of `message` back, and acknowledges `message-with-ack` with its own.
"""

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Raw
from msgspec.json import encode as to_json

from forestay.edge.engineio.application import Session
from forestay.edge.engineio.requests import EngineLimits
from forestay.edge.socketio.client import SocketioClient
from forestay.edge.socketio.opening import Clients, PacketLimits
from forestay.protocol.codes import Ending
from forestay.protocol.socketio.packets import Event, RefusedEvent
from forestay.protocol.websocket.writing import BINARY, frame, text_frame
from tests.conformance.engine_echo import EngineServer, engine_server, quick

PATH: Final = "/socket.io/"

SUITE: Final = quick(serve_within=1.0)
"""What the public suite expects of a server."""

_NAMESPACES: Final = {"/": b"", "/custom": b"/custom,"}


class EchoMember:
    """One client in one namespace."""

    def __init__(self, session: Session, where: bytes) -> None:
        self._session = session
        self._where = where

    def event(self, event: Event) -> None:
        if event.name == "message":
            self.say(b"2", b"5", [to_json("message-back"), *map(bytes, event.arguments)], event.attachments)
        elif event.name == "message-with-ack" and event.id is not None:
            self.say(b"3", b"6", list(map(bytes, event.arguments)), event.attachments, event.id.encode())

    def say(self, plain: bytes, binary: bytes, values: list[bytes], parts: list[bytes], id: bytes = b"") -> None:
        """Send a packet: of the type `plain`, or of the type `binary` where it has binary parts."""
        kind = b"%b%d-" % (binary, len(parts)) if parts else plain
        self._session.write(text_frame(b"4%b%b%b[%b]" % (kind, self._where, id, b",".join(values))))
        for part in parts:
            self._session.write(frame(BINARY, part))

    def refused(self, refused: RefusedEvent) -> None:
        """The suite sends no such event."""

    def acknowledged(self, size: int) -> None:
        """The suite sends no answers."""

    def end(self, ending: Ending) -> None:
        """Nothing is pending."""

    def lost(self, ending: Ending) -> None:
        """Nothing is kept."""


class EchoNamespaces:
    """The application of the public suite."""

    def __init__(self) -> None:
        self._ids = itertools.count()

    def has(self, namespace: str) -> bool:
        return namespace in _NAMESPACES

    async def enter(self, client: SocketioClient, namespace: str, auth: Mapping[str, Raw]) -> None:
        where = _NAMESPACES[namespace]
        member = EchoMember(client.session, where)
        client.add(namespace, member)
        client.session.write(text_frame(b"40" + where + to_json({"sid": f"echo-{next(self._ids)}"})))
        client.session.served(served=True)
        member.say(b"2", b"5", [b'"auth"', to_json(auth)], [])


@asynccontextmanager
async def socketio_server(limits: EngineLimits = SUITE, port: int = 0) -> AsyncIterator[EngineServer]:
    """Serves on loopback within the block, on a free port where `port` is 0."""
    clients = Clients(EchoNamespaces(), PacketLimits(limits.socket.message_bytes, 64), query_token=False)
    async with engine_server(clients, limits, port, path=PATH) as server:
        yield server
