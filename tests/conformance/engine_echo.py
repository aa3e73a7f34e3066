"""An Engine.IO server that echoes, made of the gateway's own edge, with the timings of the public protocol suites.

Listener, requests, sessions, transports and heartbeats are the real ones. Only the application is replaced.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from forestay.core.ports.observer import Observer
from forestay.core.ports.verifier import Ticket
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.lifecycle import Lifecycle, State
from forestay.edge.client_address import TrustedProxies
from forestay.edge.engineio.application import Application, Listener, Opening, Session
from forestay.edge.engineio.requests import EngineLimits, EngineRequests
from forestay.edge.handshake.admission import Admission, AdmissionLimits
from forestay.edge.handshake.cors import elsewhere
from forestay.edge.handshake.origins import Origins
from forestay.edge.websocket.open_sockets import MessageLimits
from forestay.edge.websocket.websocket import SocketLimits
from forestay.pod.file_limit import divide, raise_limit
from forestay.pod.listeners import PublicPaths, PublicPort
from forestay.protocol.codes import Ending
from forestay.protocol.engineio.packets import Times
from forestay.protocol.websocket.writing import BINARY, frame, text_frame
from forestay.settings.settings import load

PATH: Final = "/engine.io/"

SUITE: Final = EngineLimits(
    transports=("polling", "websocket"),
    times=Times(0.3, 0.2),
    socket=SocketLimits(1_000_000, 262_144, 1.0),
    message_timeout=10.0,
    most_unused=1024,
)
"""What the public suites expect of a server."""


class _AnyToken:
    """A Verifier that accepts every token."""

    async def verify(self, shown: str | Ticket, /) -> Identity:
        return Identity("anybody", Rights({}), expires_at=float("inf"))

    async def close(self) -> None:
        """Nothing was opened."""


class Echo:
    """The Listener of one session: sends each message back."""

    def __init__(self, session: Session, ends: list[Ending]) -> None:
        self.session = session
        self._ends = ends
        session.served(served=True)

    def text(self, data: str, /) -> None:
        self.session.write(text_frame(b"4" + data.encode()))

    def binary(self, data: bytes, /) -> None:
        self.session.write(frame(BINARY, data))

    def end(self, ending: Ending, /) -> None:
        """Nothing is pending."""

    def lost(self, ending: Ending, /) -> None:
        self._ends.append(ending)


class EchoApplication:
    """Echoes in every session, and keeps what became of them."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.ends: list[Ending] = []

    def opened(self, session: Session, opening: Opening, /) -> Listener:
        self.sessions.append(session)
        return Echo(session, self.ends)


@dataclass(frozen=True, slots=True)
class EngineServer:
    """A running server."""

    port: int
    engine: EngineRequests
    admission: Admission
    lifecycle: Lifecycle


@asynccontextmanager
async def engine_server(
    application: Application,
    limits: EngineLimits = SUITE,
    port: int = 0,
    origins: Origins | None = None,
    observer: Observer | None = None,
    path: str = PATH,
) -> AsyncIterator[EngineServer]:
    """Serves on loopback within the block, on a free port where `port` is 0."""
    settings, lifecycle, proxies = load({}), Lifecycle(), TrustedProxies([])
    lifecycle.move(State.READY)
    capacity = AdmissionLimits(settings.max_connections, settings.handshakes)
    admission = Admission(capacity, origins or Origins(["*"]), proxies, _AnyToken(), lifecycle)
    engine = EngineRequests(application, admission, limits, lambda: secrets.token_urlsafe(16), observer)
    paths = {path: engine.serve, path.rstrip("/"): engine.serve}
    public = PublicPort(
        settings, divide(raise_limit()), PublicPaths(paths, elsewhere(path, {})), MessageLimits(10, 1024), proxies
    )
    try:
        bound = await public.open("127.0.0.1", port)
        yield EngineServer(bound, engine, admission, lifecycle)
    finally:
        if lifecycle.open:
            lifecycle.move(State.DRAINING)
        await engine.sessions.close()
        await admission.wait_closed(limits.socket.close_timeout)
        await public.close()


def quick(**changes: object) -> EngineLimits:
    """The limits of the suites with `changes`, also of those of a WebSocket."""
    sockets = {name: changes.pop(name) for name in ("message_bytes", "close_timeout") if name in changes}
    return replace(SUITE, socket=replace(SUITE.socket, **sockets), **changes)  # type: ignore[arg-type]
