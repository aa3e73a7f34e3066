"""Writes to one WebSocket, and closes it in one way.

Frames are written to the transport directly, because the same bytes go to a whole room.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from forestay.edge.abort_later import abort_later
from forestay.protocol.codes import ABNORMAL_CLOSURE, Ending
from forestay.protocol.deflate.inflating import Inflater
from forestay.protocol.websocket.writing import close_frame


class Cancellable(Protocol):
    """Writes that are made beside the loop: see `speedups.Writes`."""

    def cancel(self, entry: int, /) -> int: ...


class Hold:
    """A write to one socket is made beside the loop. What else is to be done with the socket waits for it."""

    __slots__ = ("entry", "pending", "size", "then", "writes")

    def __init__(self, writes: Cancellable, entry: int, size: int) -> None:
        """`entry`: which of `writes` it is. `size`: its bytes."""
        self.writes = writes
        self.entry = entry
        self.size = size
        """Bytes of it, and of `pending`."""
        self.pending: list[bytes] = []
        """What was written since then."""
        self.then: list[Callable[[], None]] = []
        """What comes after that."""


def _drop(data: bytes) -> None:
    """Write nothing: nobody is there."""


class ClientSocket:
    """The server's end of a WebSocket. `write` is the transport's own method, so that a frame costs one call."""

    __slots__ = (
        "_close_timeout",
        "_closing",
        "_descriptor",
        "_hold",
        "_transport",
        "buffered",
        "reading_held",
        "write",
    )

    def __init__(self, transport: asyncio.Transport, close_timeout: float) -> None:
        """`close_timeout`: seconds that a client has to answer a close frame before the transport is aborted."""
        self._transport = transport
        self._close_timeout = close_timeout
        self._closing = False
        self._descriptor = -1
        self._hold: Hold | None = None
        self.write: Callable[[bytes], None] = transport.write
        self.buffered: Callable[[], int] = transport.get_write_buffer_size
        self.reading_held = False
        """Whether the client must take what was written before it is read again. Cleared by Receiver."""

    def closed(self) -> bool:
        """Whether a write would be pointless."""
        return self._closing or self._transport.is_closing()

    def hold_reading(self) -> None:
        """Read nothing more from the client until it has taken what was written."""
        self.reading_held = True

    def close(self, ending: Ending) -> None:
        """Write a close frame; after a lost connection, only close. Nothing can be written after that."""
        if ending.code == ABNORMAL_CLOSURE:
            self.cut()
        if self.closed():
            return
        self._closing = True
        self.write(close_frame(ending))
        abort_later(self._transport, self._close_timeout)

    def cut(self) -> None:
        """Close the transport without a close frame, once what was written is sent."""
        if self.closed():
            return
        self._closing = True
        self._after_writes(self._transport.close)
        abort_later(self._transport, self._close_timeout)

    def hang_up(self) -> None:
        """Close the transport once everything is written. For use when the closing handshake is done."""
        self._after_writes(self._transport.close)

    def end_writing(self) -> None:
        """Tell the client that nothing more comes, once everything is written. Abort after the close timeout."""
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._after_writes(self._write_eof)
        abort_later(self._transport, self._close_timeout)

    def _write_eof(self) -> None:
        try:
            self._transport.write_eof()
        except OSError:
            pass  # The client hung up first.

    def descriptor(self) -> int:
        """The file descriptor of the socket. It is valid until `lost`."""
        if self._descriptor < 0:
            self._descriptor = self._transport.get_extra_info("socket").fileno()
        return self._descriptor

    def hold(self, hold: Hold) -> None:
        """A write is about to be made beside the loop. Nothing waits to be written."""
        self._hold = hold
        self.write = self._write_later
        self.buffered = self._held_bytes

    def release(self, rest: bytes) -> None:
        """The write is over. `rest`: what is left of it. Nothing happens where the connection was lost meanwhile."""
        hold = self._let_go()
        if hold is None:
            return
        if rest:
            hold.pending.insert(0, rest)
        if hold.pending:
            self.write(b"".join(hold.pending))
        for step in hold.then:
            step()

    def lost(self) -> None:
        """The connection is lost, and its descriptor is about to be closed. Nothing is written to it after this."""
        hold = self._let_go()
        if hold is not None:
            hold.writes.cancel(hold.entry)
        # The transport of uvloop raises where that of asyncio drops what is written now.
        self.write = _drop

    def _let_go(self) -> Hold | None:
        hold, self._hold = self._hold, None
        if hold is not None:
            self.write = self._transport.write
            self.buffered = self._transport.get_write_buffer_size
        return hold

    def _write_later(self, data: bytes) -> None:
        if self._hold is not None:
            self._hold.pending.append(data)
            self._hold.size += len(data)

    def _held_bytes(self) -> int:
        return 0 if self._hold is None else self._hold.size

    def _after_writes(self, step: Callable[[], None]) -> None:
        if self._hold is None:
            step()
        else:
            self._hold.then.append(step)

    def abort(self) -> None:
        """Close the transport at once."""
        self._transport.abort()


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one WebSocket may use."""

    message_bytes: int
    """The largest message that a client may send."""
    send_buffer: int
    """Bytes that may wait to be sent. With more than that, the client's messages are not read."""
    inflater: Inflater | None = None
    """Inflates the client's messages, where compression was agreed on."""
