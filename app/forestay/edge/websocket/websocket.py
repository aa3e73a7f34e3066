"""Writes to one WebSocket, and closes it in one way.

Frames are written to the transport directly, because the same bytes go to a whole room.
"""

import asyncio
from dataclasses import dataclass

from forestay.edge.abort_later import abort_later
from forestay.edge.websocket.outlet import Outlet
from forestay.protocol.codes import ABNORMAL_CLOSURE, Ending
from forestay.protocol.deflate.inflating import Inflater
from forestay.protocol.websocket.writing import close_frame


class ClientSocket(Outlet):
    """The server's end of a WebSocket."""

    __slots__ = ("_close_timeout", "reading_held")

    def __init__(self, transport: asyncio.Transport, close_timeout: float) -> None:
        """`close_timeout`: seconds that a client has to answer a close frame before the transport is aborted."""
        super().__init__(transport)
        self._close_timeout = close_timeout
        self.reading_held = False
        """Whether the client must take what was written before it is read again. Cleared by Receiver."""

    def hold_reading(self) -> None:
        """Read nothing more from the client until it has taken what was written."""
        self.reading_held = True

    def close(self, ending: Ending) -> None:
        """Write a close frame; after a lost connection, only close. Nothing can be written after that."""
        if ending.code == ABNORMAL_CLOSURE:
            self.cut()
        if self.closed():
            return
        self.closing = True
        self.write(close_frame(ending))
        abort_later(self.transport, self._close_timeout)

    def cut(self) -> None:
        """Close the transport without a close frame, once what was written is sent."""
        if self.closed():
            return
        self.closing = True
        self.hang_up()
        abort_later(self.transport, self._close_timeout)

    def hang_up(self) -> None:
        """Close the transport once everything is written. For use when the closing handshake is done."""
        self.after_writes(self.transport.close)

    def end_writing(self) -> None:
        """Tell the client that nothing more comes, once everything is written. Abort after the close timeout."""
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.after_writes(self._write_eof)
        abort_later(self.transport, self._close_timeout)

    def _write_eof(self) -> None:
        try:
            self.transport.write_eof()
        except OSError:
            pass  # The client hung up first.

    def abort(self) -> None:
        """Close the transport at once."""
        self.transport.abort()


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one WebSocket may use."""

    message_bytes: int
    """The largest message that a client may send."""
    send_buffer: int
    """Bytes that may wait to be sent. With more than that, the client's messages are not read."""
    close_timeout: float
    """Seconds that a client has to answer a close frame."""
    inflater: Inflater | None = None
    """Inflates the client's messages, where compression was agreed on."""
