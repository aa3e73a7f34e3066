"""An echo server made of the gateway's own edge, where only the dispatcher is replaced.

Listener, handshake, reading, delivery and the close handshake are the real ones, so the fuzzer judges their
conformance. This module does not depend on the kind of client.
"""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

from msgspec import Raw

from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.registry import MemoryRegistry
from forestay.bus.memory.webhooks import MemoryEvents, MemoryWebhooks
from forestay.core.fanout.connection import Connection
from forestay.core.ports.verifier import Ticket
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.lifecycle import State
from forestay.core.rules.policies import SHIPPED, Policies
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.sessions import Sessions
from forestay.edge.client_address import TrustedProxies
from forestay.edge.handshake.admission import Admission, AdmissionLimits
from forestay.edge.handshake.handshake import Handshake, HandshakeLimits
from forestay.edge.handshake.origins import Origins
from forestay.edge.websocket.open_sockets import MessageLimits
from forestay.edge.websocket.websocket import SocketLimits
from forestay.pod.file_limit import divide, raise_limit
from forestay.pod.links import Links
from forestay.pod.listeners import PublicPaths, PublicPort
from forestay.pod.tasks import Supervisor
from forestay.pod.wiring import Observed, Pod, assemble
from forestay.protocol.requests import Binary, Broadcast
from forestay.protocol.v1.compressed import CompressedWire, Compression, V1Wires
from forestay.protocol.websocket.writing import BINARY, TEXT, frame
from forestay.settings.settings import load

PATH: Final = "/?access_token=anything"
"""The path of the handshake. The handshake is the real one and needs a token; any token is accepted."""

LARGEST: Final = 64 * 2**20
"""Bytes of one message. The fuzzer's largest message has 16 MiB."""

_SETTINGS = {"FORESTAY_MESSAGE_RATE": "0", "FORESTAY_MESSAGE_BYTES_RATE": "0"}


class _AnyToken:
    """A Verifier that accepts every token."""

    async def verify(self, shown: str | Ticket, /) -> Identity:
        return Identity("anybody", Rights({}), expires_at=float("inf"))

    async def close(self) -> None:
        """Nothing was opened."""


class _AnyText:
    """A reader that takes every text for a broadcast with this payload."""

    def read(self, text: bytes) -> Broadcast:
        return Broadcast(room="echo", payload=Raw(text))


class _Silent:
    """The real Sessions without the `welcome` reply: a fuzzer would take it for an echo that it did not ask for."""

    def __init__(self, sessions: Sessions) -> None:
        self.prepare = sessions.prepare
        self.register = sessions.register
        self.first_words = sessions.first_words
        self.lost = sessions.lost

    def welcome(self, connection: Connection) -> bytes:
        """Nothing."""
        return b""

    def greet(self, connection: Connection, welcome: bytes) -> None:
        """Says nothing."""


class _Echo:
    """Stands where the Dispatcher stands and sends each message back."""

    def __init__(self, pod: Pod) -> None:
        self.ping = pod.dispatcher.ping
        self.pong = pod.dispatcher.pong
        self._outbox = pod.sessions._outbox

    def dispatch(self, connection: Connection, request: Broadcast | Binary, size: int) -> None:
        answer = frame(BINARY, request.data) if isinstance(request, Binary) else frame(TEXT, bytes(request.payload))
        wire = connection.wire
        self._outbox.send_bytes(connection, wire.compressed(answer) if isinstance(wire, CompressedWire) else answer)


@asynccontextmanager
async def echo_server(port: int = 0) -> AsyncIterator[int]:
    """Serves on loopback within the block. Yields the port; a free one where `port` is 0."""
    settings = load(_SETTINGS)
    anybody = _AnyToken()
    bus = MemoryBus()
    links = Links(
        "echo",
        bus,
        MemoryRegistry("echo", bus),
        Supervisor(random.uniform),
        MemoryWebhooks(MemoryEvents(), 30.0),
    )
    pod = assemble(settings, Policies((), SHIPPED), links, anybody, Observed())
    pod.lifecycle.move(State.READY)
    capacity = AdmissionLimits(settings.max_connections, settings.handshakes)
    proxies = TrustedProxies([])
    admission = Admission(capacity, Origins([]), proxies, anybody, pod.lifecycle)
    limits = HandshakeLimits(
        query_token=True, socket=SocketLimits(LARGEST, settings.send_buffer_bytes, settings.close_timeout)
    )
    echo, silent = cast(Dispatcher, _Echo(pod)), cast(Sessions, _Silent(pod.sessions))
    wires = V1Wires(time.time, _AnyText(), LARGEST, Compression(1, LARGEST))
    handshake = Handshake(admission, limits, echo, silent, wires, None)
    paths = PublicPaths({}, handshake.serve, {"/": handshake.upgrade})
    public = PublicPort(settings, divide(raise_limit()), paths, MessageLimits(60, 2**20), proxies)
    try:
        yield await public.open("127.0.0.1", port)
    finally:
        pod.lifecycle.move(State.DRAINING)
        await admission.wait_closed(settings.close_timeout)
        await public.close()
