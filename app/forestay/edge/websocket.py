"""One WebSocket's life: read until it is over, write finished frames, one way to close.

Only this module touches aiohttp's WebSocket object. It writes to the transport itself, because the same bytes go to a
whole room; aiohttp reads, and never writes a close frame of its own.
"""

import asyncio
import math
import weakref
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import WebSocketError, WSMessage, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from forestay.core.fanout.connection import Connection
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.sessions import Sessions
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDINGS, CloseCode, Ending, answer_to_close
from forestay.protocol.v1.encoder import close_frame

log = structlog.get_logger(__name__)

# A client with a full receive buffer would otherwise be served until it is empty, and nobody else meanwhile.
_TURN: Final = 64
_BYTES_WORTH_A_MESSAGE: Final = 4096
_GLANCE: Final = 0.02


class Upgraded(web.WebSocketResponse):
    """aiohttp's WebSocket as a reader: it would close by itself in five places, each time without our reason."""

    # The answer to the handshake goes out with the first words behind it: one packet for a client to wake up for.
    _send_headers_immediately = False

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        return False


class ClientSocket:
    """A client's transport as the core's Socket; `write` is the transport's own, so that a frame costs one call."""

    __slots__ = ("_close_timeout", "_closing", "_transport", "buffered", "write")

    def __init__(self, transport: asyncio.Transport, close_timeout: float) -> None:
        """`close_timeout`: seconds that a client has to answer a close frame before the transport is aborted."""
        self._transport = transport
        self._close_timeout = close_timeout
        self._closing = False
        self.write: Callable[[bytes], None] = transport.write
        self.buffered: Callable[[], int] = transport.get_write_buffer_size

    def closed(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self, ending: Ending) -> None:
        if self.closed():
            return
        self._closing = True
        self._transport.write(close_frame(ending))
        # Weakly, because nearly every transport is gone before the time is up; held until then it would outlive the
        # young generation, and on Python 3.11 a dead transport is a cycle that only a collection of the old one frees.
        asyncio.get_running_loop().call_later(self._close_timeout, _abort, weakref.ref(self._transport))

    def hang_up(self) -> None:
        """The closing handshake is done: close the transport once everything is written."""
        self._transport.close()

    async def discard(self) -> None:
        """Let what the client is still sending go unread until it hangs up: a reset would swallow our close frame."""
        if self._transport.can_write_eof() and not self._transport.is_closing():
            try:
                self._transport.write_eof()
            except OSError:
                pass  # The client was faster.
        # aiohttp reads on and throws away; that the client hung up shows on the transport only.
        for _ in range(math.ceil(self._close_timeout / _GLANCE)):
            if self._transport.is_closing():
                break
            await asyncio.sleep(_GLANCE)
        self._transport.abort()


def _abort(transport: weakref.ref[asyncio.Transport]) -> None:
    still_there = transport()
    if still_there is not None:
        still_there.abort()


class Conversation:
    """Carries what one client says to the gateway until the connection is over."""

    def __init__(
        self, dispatcher: Dispatcher, sessions: Sessions, connection: Connection, socket: ClientSocket
    ) -> None:
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._connection = connection
        self._socket = socket

    async def run(self, ws: Upgraded, writer: AbstractStreamWriter) -> None:
        """`writer`: aiohttp's, whose `drain` waits until the transport's buffer is half empty."""
        try:
            await self._read(ws, writer)
        except Exception:
            log.exception("a bug ended a connection", connection=self._connection.id)
            self._sessions.end(self._connection, ENDINGS[CloseCode.INTERNAL_ERROR])
            await self._socket.discard()
        finally:
            self._sessions.lost(self._connection, Ending(ABNORMAL_CLOSURE, "handler cancelled"))

    async def _read(self, ws: Upgraded, writer: AbstractStreamWriter) -> None:
        turn = 0
        while True:
            message = await ws.receive()
            if message.type in _SAID:
                if self._connection.ended is None:
                    work = self._hear(message)
                    if work is not None:
                        await work
                    if self._connection.congested:
                        await self._until_answers_are_taken(writer)
                turn += 1 + len(message.data) // _BYTES_WORTH_A_MESSAGE
                if turn >= _TURN:
                    turn = 0
                    await asyncio.sleep(0)
            elif message.type is WSMsgType.CLOSE:
                return self._closed_by_client(message.data)
            elif isinstance(message.data, WebSocketError):
                # Its traceback would tie the whole connection into a cycle.
                self._sessions.end(self._connection, _broken_rule(message.data.with_traceback(None)))
                return await self._socket.discard()
            else:
                return self._sessions.lost(self._connection, Ending(ABNORMAL_CLOSURE, "connection lost"))

    def _hear(self, message: WSMessage) -> Awaitable[None] | None:
        kind = message.type
        if kind is WSMsgType.TEXT:
            return self._dispatcher.text(self._connection, message.data)
        if kind is WSMsgType.BINARY:
            self._dispatcher.binary(self._connection, message.data)
        elif kind is WSMsgType.PING:
            self._dispatcher.ping(self._connection, bytes(message.data))
        else:
            self._dispatcher.pong(self._connection)
        return None

    async def _until_answers_are_taken(self, writer: AbstractStreamWriter) -> None:
        try:
            await writer.drain()
        except ConnectionError:
            pass  # It broke while we waited; the next receive says so.
        self._connection.congested = False

    def _closed_by_client(self, code: int) -> None:
        answer = answer_to_close(code)
        self._sessions.lost(self._connection, Ending(code or CloseCode.NORMAL, "closed by the client"))
        self._socket.close(Ending(answer, "bye" if answer == code or not code else "not a close code"))
        self._socket.hang_up()


_SAID: Final = frozenset({WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG})


def _broken_rule(error: WebSocketError) -> Ending:
    code = CloseCode(error.code) if error.code in ENDINGS else CloseCode.PROTOCOL_ERROR
    return ENDINGS[code]
