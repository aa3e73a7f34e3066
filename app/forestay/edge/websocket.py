"""Carries one WebSocket connection: reads messages, writes finished frames, and closes in one way.

No other module touches aiohttp's WebSocket object. Frames are written to the transport directly, because the same bytes
go to a whole room. aiohttp only reads, and never writes a close frame of its own.
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

# Messages that one client may send before the other clients get their turn. Without it, a client with a full receive
# buffer would be served until the buffer is empty.
_TURN: Final = 64
# A long message counts as one more message for each of these bytes.
_BYTES_PER_MESSAGE: Final = 4096
# Seconds between two looks at whether the client has hung up.
_POLL_INTERVAL: Final = 0.02


class ReadOnlyWebSocket(web.WebSocketResponse):
    """aiohttp's WebSocket without its close: aiohttp calls it in five places, each time without our close reason."""

    # The response to the handshake is sent together with the first message: one packet, which wakes the client once.
    _send_headers_immediately = False

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        return False


class ClientSocket:
    """The Transport of a WebSocket. `write` is asyncio's own method, so that a frame costs one call."""

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
        # A weak reference, because nearly every transport is gone before the timeout. A strong one would keep it past
        # the young generation, and on Python 3.11 a dead transport is a cycle that only a full collection frees.
        asyncio.get_running_loop().call_later(self._close_timeout, _abort, weakref.ref(self._transport))

    def hang_up(self) -> None:
        """Close the transport once everything is written. For use when the closing handshake is done."""
        self._transport.close()

    async def discard(self) -> None:
        """Discard what the client still sends until it hangs up, at most the close timeout. Then abort.

        Without it the kernel would reset the connection, and the client could lose our close frame.
        """
        if self._transport.can_write_eof() and not self._transport.is_closing():
            try:
                self._transport.write_eof()
            except OSError:
                pass  # The client hung up first.
        # aiohttp goes on reading and discards the data. Only the transport shows that the client hung up.
        for _ in range(math.ceil(self._close_timeout / _POLL_INTERVAL)):
            if self._transport.is_closing():
                break
            await asyncio.sleep(_POLL_INTERVAL)
        self._transport.abort()


def _abort(transport: weakref.ref[asyncio.Transport]) -> None:
    alive = transport()
    if alive is not None:
        alive.abort()


class WebSocketSession:
    """Hands the messages of one client to the dispatcher until the connection ends."""

    def __init__(
        self, dispatcher: Dispatcher, sessions: Sessions, connection: Connection, socket: ClientSocket
    ) -> None:
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._connection = connection
        self._socket = socket

    async def run(self, ws: ReadOnlyWebSocket, writer: AbstractStreamWriter) -> None:
        """Serve the connection until it ends. `writer`: aiohttp's; its `drain` waits until the buffer is half empty."""
        try:
            await self._read(ws, writer)
        except Exception:
            log.exception("a bug ended a connection", connection=self._connection.id)
            self._sessions.end(self._connection, ENDINGS[CloseCode.INTERNAL_ERROR])
            await self._socket.discard()
        finally:
            self._sessions.lost(self._connection, Ending(ABNORMAL_CLOSURE, "handler cancelled"))

    async def _read(self, ws: ReadOnlyWebSocket, writer: AbstractStreamWriter) -> None:
        turn = 0
        while True:
            message = await ws.receive()
            if message.type in _MESSAGES:
                if self._connection.ended is None:
                    work = self._dispatch(message)
                    if work is not None:
                        await work
                    if self._connection.congested:
                        await self._wait_until_writable(writer)
                turn += 1 + len(message.data) // _BYTES_PER_MESSAGE
                if turn >= _TURN:
                    turn = 0
                    await asyncio.sleep(0)
            elif message.type is WSMsgType.CLOSE:
                return self._closed_by_client(message.data)
            elif isinstance(message.data, WebSocketError):
                # With its traceback the error would hold the whole connection in a reference cycle.
                self._sessions.end(self._connection, _violation(message.data.with_traceback(None)))
                return await self._socket.discard()
            else:
                return self._sessions.lost(self._connection, Ending(ABNORMAL_CLOSURE, "connection lost"))

    def _dispatch(self, message: WSMessage) -> Awaitable[None] | None:
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

    async def _wait_until_writable(self, writer: AbstractStreamWriter) -> None:
        try:
            await writer.drain()
        except ConnectionError:
            pass  # The connection broke while we waited. The next read reports it.
        self._connection.congested = False

    def _closed_by_client(self, code: int) -> None:
        answer = answer_to_close(code)
        self._sessions.lost(self._connection, Ending(code or CloseCode.NORMAL, "closed by the client"))
        self._socket.close(Ending(answer, "bye" if answer == code or not code else "not a close code"))
        self._socket.hang_up()


_MESSAGES: Final = frozenset({WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG})


def _violation(error: WebSocketError) -> Ending:
    """The ending for a frame that violates the WebSocket protocol."""
    code = CloseCode(error.code) if error.code in ENDINGS else CloseCode.PROTOCOL_ERROR
    return ENDINGS[code]
