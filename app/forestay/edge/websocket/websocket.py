"""Carries one WebSocket connection: reads messages, writes finished frames, and closes in one way.

No other module touches aiohttp's WebSocket object. Frames are written to the transport directly, because the same bytes
go to a whole room. aiohttp only reads, and never writes a close frame of its own.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from aiohttp import WebSocketError, WSMessage, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from forestay.edge.abort_later import abort_later
from forestay.edge.websocket.frames import Frames
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDINGS, CloseCode, Ending, answer_to_close
from forestay.protocol.websocket import close_frame

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
    """The server's end of a WebSocket. `write` is asyncio's own method, so that a frame costs one call."""

    __slots__ = ("_close_timeout", "_closing", "_transport", "buffered", "reading_held", "write")

    def __init__(self, transport: asyncio.Transport, close_timeout: float) -> None:
        """`close_timeout`: seconds that a client has to answer a close frame before the transport is aborted."""
        self._transport = transport
        self._close_timeout = close_timeout
        self._closing = False
        self.write: Callable[[bytes], None] = transport.write
        self.buffered: Callable[[], int] = transport.get_write_buffer_size
        self.reading_held = False
        """Whether the client must take what was written before it is read again."""

    def closed(self) -> bool:
        """Whether a write would be pointless."""
        return self._closing or self._transport.is_closing()

    def hold_reading(self) -> None:
        """Read nothing more from the client until it has taken what was written."""
        self.reading_held = True

    async def wait_until_taken(self, writer: AbstractStreamWriter) -> None:
        """Wait until the client has taken enough. `writer`: aiohttp's; its `drain` waits for half of the buffer."""
        try:
            await writer.drain()
        except ConnectionError:
            pass  # The connection broke while we waited. The next read reports it.
        self.reading_held = False

    def close(self, ending: Ending) -> None:
        """Write a close frame. Nothing can be written after that."""
        if self.closed():
            return
        self._closing = True
        self._transport.write(close_frame(ending))
        abort_later(self._transport, self._close_timeout)

    def cut(self) -> None:
        """Close the transport without a close frame, once what was written is sent."""
        if self.closed():
            return
        self._closing = True
        self._transport.close()
        abort_later(self._transport, self._close_timeout)

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


class Client(Protocol):
    """What takes the messages of one client. Once the client has ended, they are ignored."""

    @property
    def name(self) -> str:
        """How the log calls this client. It is no secret."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is taken from this client."""

    def text(self, data: str) -> Awaitable[None] | None:
        """Take a text message. Returns what must be awaited before the next message is taken."""

    def binary(self, data: bytes) -> Awaitable[None] | None:
        """Take a binary message. Returns what must be awaited before the next message is taken."""

    def ping(self, data: bytes) -> None:
        """Take a ping frame, and answer it."""

    def pong(self) -> None:
        """Take a pong frame."""

    def end(self, ending: Ending) -> None:
        """End the client: it broke a rule, or there is a bug. Nothing happens the second time."""

    def lost(self, ending: Ending) -> None:
        """The WebSocket is gone. Called once, at last."""


class WebSocketSession:
    """Hands the messages of one client on until the connection ends."""

    def __init__(self, client: Client, socket: ClientSocket, frames: Frames) -> None:
        """`frames`: those of the client, which know whether one of them broke a rule."""
        self._client = client
        self._socket = socket
        self._frames = frames

    async def run(self, ws: ReadOnlyWebSocket, writer: AbstractStreamWriter) -> None:
        """Serve the connection until it ends. `writer`: aiohttp's; its `drain` waits until the buffer is half empty."""
        lost = _CANCELLED
        try:
            lost = await self._read(ws, writer)
        except Exception:
            log.exception("a bug ended a connection", connection=self._client.name)
            self._client.end(ENDINGS[CloseCode.INTERNAL_ERROR])
            await self._socket.discard()
        finally:
            self._client.lost(lost)

    async def _read(self, ws: ReadOnlyWebSocket, writer: AbstractStreamWriter) -> Ending:
        """Serve the connection until it ends. How the client or the network ended it."""
        client, socket, turn = self._client, self._socket, 0
        while True:
            message = await ws.receive()
            kind = message.type
            work = None
            if kind is WSMsgType.TEXT:
                work = client.text(message.data)
            elif kind is WSMsgType.BINARY:
                work = client.binary(message.data)
            elif kind is WSMsgType.PING:
                client.ping(bytes(message.data))
            elif kind is WSMsgType.PONG:
                client.pong()
            elif kind is WSMsgType.CLOSE:
                return self._closed_by_client(message.data)
            else:
                return await self._broken(message)
            if work is not None:
                await work
                # Large answers are written before more of them are made: a bus may answer without a wait.
                await asyncio.sleep(0)
            if socket.reading_held and not client.ended:
                await socket.wait_until_taken(writer)
            turn += 1 + len(message.data) // _BYTES_PER_MESSAGE
            if turn >= _TURN:
                turn = 0
                await asyncio.sleep(0)

    async def _broken(self, message: WSMessage) -> Ending:
        """How a connection ended that the client did not close, by the last thing that aiohttp read of it."""
        if isinstance(message.data, WebSocketError):
            # With its traceback the error would hold the whole connection in a reference cycle.
            self._client.end(_violation(message.data.with_traceback(None)))
            await self._socket.discard()
            return Ending(ABNORMAL_CLOSURE, "broke the protocol")
        if self._frames.violation is not None:
            self._client.end(self._frames.violation)
            await self._socket.discard()
            return Ending(ABNORMAL_CLOSURE, "broke the rules of the gateway")
        return Ending(ABNORMAL_CLOSURE, "connection lost")

    def _closed_by_client(self, code: int) -> Ending:
        """Answer the client's close frame, which carries `code`."""
        # First the connection leaves its rooms: nothing is written behind a close frame.
        answer = answer_to_close(code)
        self._socket.close(Ending(answer, "bye" if answer == code or not code else "not a close code"))
        self._socket.hang_up()
        return Ending(code or CloseCode.NORMAL, "closed by the client")


_CANCELLED: Final = Ending(ABNORMAL_CLOSURE, "handler cancelled")


def _violation(error: WebSocketError) -> Ending:
    """The ending for a frame that violates the WebSocket protocol."""
    code = CloseCode(error.code) if error.code in ENDINGS else CloseCode.PROTOCOL_ERROR
    return ENDINGS[code]
