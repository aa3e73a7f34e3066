"""An echo server made of the gateway's own edge: only the meaning of what is said is replaced.

Listener, handshake, reading, delivery and the close handshake are the real ones, so that their conformance is what a
fuzzer judges. Nothing here knows who asks.
"""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Final, cast

from aiohttp import web

from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.registry import MemoryRegistry
from forestay.core.fanout.connection import Connection
from forestay.core.ports.transport import Transport
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.lifecycle import State
from forestay.core.rules.policies import SHIPPED, Policies
from forestay.core.rules.rate_limit import TokenBucket
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.sessions import Sessions
from forestay.edge.admission import Admission, AdmissionLimits
from forestay.edge.handshake import Handshake, WebSocketLimits
from forestay.edge.listener import PublicServer
from forestay.edge.origins import Origins
from forestay.pod.wiring import Links, Pod, assemble
from forestay.protocol.codes import Ending
from forestay.protocol.v1.encoder import frame
from forestay.settings import load

PATH: Final = "/?access_token=anything"
"""What to ask for: the handshake is the real one and wants a token; any will do."""

LARGEST: Final = 64 * 2**20
"""Bytes of one message: the fuzzer's largest is 16 MiB."""

_TEXT = 0x81
_BINARY = 0x82
_SETTINGS = {"FORESTAY_MESSAGE_RATE": "0"}


class _Anybody:
    """A Verifier to whom every token is good."""

    async def verify(self, token: str) -> Identity:
        return Identity("anybody", Rights({}), expires_at=float("inf"))

    async def close(self) -> None:
        """Nothing was opened."""


class _Silent:
    """The real Sessions, without a word of welcome: a fuzzer takes it for an answer that it did not ask for."""

    def __init__(self, sessions: Sessions) -> None:
        self._burst = sessions.terms.burst
        self._hub = sessions.hub
        self.end = sessions.end
        self.first_words = sessions.first_words
        self._sessions = sessions
        self._names = iter(range(2**62))

    async def welcome(self, identity: Identity, socket: Transport) -> Connection:
        connection = Connection(str(next(self._names)), identity, socket, TokenBucket(self._burst, 0.0), 0.0)
        self._hub.add(connection)
        return connection

    def lost(self, connection: Connection, ending: Ending) -> None:
        # The real gateway has read everything by now; so have we, but echoes may wait for the next pass.
        self._sessions.lost(connection, ending)


class _Echo:
    """Stands where the Dispatcher stands and says everything back."""

    def __init__(self, pod: Pod) -> None:
        self.ping = pod.dispatcher.ping
        self.pong = pod.dispatcher.pong
        self._delivery = pod.sessions._delivery

    def text(self, connection: Connection, text: str) -> Awaitable[None] | None:
        self._delivery.answer(connection, frame(_TEXT, text.encode()))
        return None

    def binary(self, connection: Connection, data: bytes) -> None:
        self._delivery.answer(connection, frame(_BINARY, data))


@asynccontextmanager
async def echo_server(port: int = 0) -> AsyncIterator[int]:
    """Serves on loopback while it is entered; gives the port, a free one where `port` is 0."""
    settings = load(_SETTINGS)
    anybody = _Anybody()
    bus = MemoryBus()
    pod = assemble(settings, Policies((), SHIPPED), Links("echo", bus, MemoryRegistry("echo", bus)), anybody)
    pod.lifecycle.move(State.READY)
    admission = Admission(
        AdmissionLimits(max_connections=settings.max_connections, max_handshakes=settings.handshakes),
        Origins([]),
        anybody,
        pod.lifecycle,
        pod.hub,
    )
    limits = WebSocketLimits(
        query_token=True,
        message_bytes=LARGEST,
        send_buffer=settings.send_buffer_bytes,
        close_timeout=settings.close_timeout,
    )
    dispatcher, sessions = cast(Dispatcher, _Echo(pod)), cast(Sessions, _Silent(pod.sessions))
    handshake = Handshake(admission, limits, dispatcher, sessions, None)
    runner = web.ServerRunner(PublicServer({"/": handshake.serve}), shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        pod.lifecycle.move(State.DRAINING)
        await handshake.wait_closed(settings.close_timeout)
        await runner.cleanup()
