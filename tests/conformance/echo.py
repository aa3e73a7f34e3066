"""An echo server made of the gateway's own edge, where only the dispatcher is replaced.

Listener, handshake, reading, delivery and the close handshake are the real ones, so the fuzzer judges their
conformance. This module does not depend on the kind of client.
"""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
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
from forestay.edge.handshake import Door, Handshake
from forestay.edge.listener import PublicServer
from forestay.edge.origins import Origins
from forestay.pod.wiring import Links, Pod, assemble
from forestay.protocol.codes import Ending
from forestay.protocol.v1.encoder import frame
from forestay.settings import load

PATH: Final = "/?access_token=anything"
"""The path of the handshake. The handshake is the real one and needs a token; any token is accepted."""

LARGEST: Final = 64 * 2**20
"""Bytes of one message. The fuzzer's largest message has 16 MiB."""

_TEXT = 0x81
_BINARY = 0x82
_SETTINGS = {"FORESTAY_MESSAGE_RATE": "0"}


class _AnyToken:
    """A Verifier that accepts every token."""

    async def verify(self, token: str) -> Identity:
        return Identity("anybody", Rights({}), expires_at=float("inf"))

    async def close(self) -> None:
        """Nothing was opened."""


class _NoWelcome:
    """The real Sessions without the welcome message, which a fuzzer would take for an unexpected answer."""

    def __init__(self, sessions: Sessions) -> None:
        self.terms = replace(sessions.terms, message_bytes=LARGEST)
        self.hub = sessions.hub
        self.end = sessions.end
        self.first_words = sessions.first_words
        self._sessions = sessions
        self._names = iter(range(2**62))

    async def welcome(self, identity: Identity, socket: Transport) -> Connection:
        connection = Connection(str(next(self._names)), identity, socket, TokenBucket(self.terms.burst, 0.0), 0.0)
        self.hub.add(connection)
        return connection

    def lost(self, connection: Connection, ending: Ending) -> None:
        # All messages are read by now, as in the real gateway, but echoes may still wait for the next pass.
        self._sessions.lost(connection, ending)


class _Echo:
    """Takes the place of the Dispatcher and sends every message back."""

    def __init__(self, pod: Pod) -> None:
        self.sessions = _NoWelcome(pod.sessions)
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
    """Serves on loopback within the block. Yields the port; a free one where `port` is 0."""
    settings = load(_SETTINGS)
    anybody = _AnyToken()
    bus = MemoryBus()
    pod = assemble(settings, Policies((), SHIPPED), Links("echo", bus, MemoryRegistry("echo", bus)), anybody)
    pod.lifecycle.move(State.READY)
    door = Door(
        max_connections=settings.max_connections,
        max_handshakes=settings.handshakes,
        query_token=True,
        send_buffer=settings.send_buffer_bytes,
        close_timeout=settings.close_timeout,
    )
    echo = cast(Dispatcher, _Echo(pod))
    handshake = Handshake(door, Origins([]), anybody, pod.lifecycle, echo, None)
    runner = web.ServerRunner(PublicServer({"/": handshake.serve}), shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        pod.lifecycle.move(State.DRAINING)
        await handshake.conversations_over(settings.close_timeout)
        await runner.cleanup()
