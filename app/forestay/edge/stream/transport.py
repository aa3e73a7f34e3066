"""Carries one event stream: writes finished events, ends in one way, and notices when the client goes.

The body has no length and no chunks: it ends with the connection. So the same bytes go to all members of a room.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import Final

from forestay.edge.abort_later import abort_later
from forestay.edge.listening.door import Serving
from forestay.protocol.codes import CONNECTION_LOST, CloseCode, Ending
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.sse.event_ids import EventIds, end_id, stops
from forestay.protocol.sse.wire import SseWire, with_id, with_ids, with_retry

# What `write` replaces. No event ends like this.
_TAIL: Final = b"\0"

_SPOKE: Final = Ending(CloseCode.PROTOCOL_ERROR, "the client of a stream sends nothing after its request")

_USER_TIMEOUT: Final = getattr(socket, "TCP_USER_TIMEOUT", None)


class StreamTransport:
    """The Transport of an event stream."""

    outlet: Final = None
    """There is none to which `write` writes as it is: see GroupWrites."""

    __slots__ = ("_after", "_close_timeout", "_closing", "_ids", "_retry", "_transport", "buffered", "wire")

    def __init__(
        self,
        transport: asyncio.Transport,
        wire: SseWire,
        ids: EventIds,
        retry: Callable[[Ending | None], int],
        close_timeout: float,
    ) -> None:
        """`retry`: milliseconds after which this client comes back after an ending, or after a loss (None).

        It is another number each time.

        `close_timeout`: seconds that a client has to take what is written before the end.
        """
        self._transport = transport
        self.wire = wire
        self._ids = ids
        self._retry = retry
        self._close_timeout = close_timeout
        self._closing = False
        self._after: Mapping[RoomName, Position] | None = None
        """Where the client is after the next write."""
        self.buffered: Callable[[], int] = transport.get_write_buffer_size

    def first(self, events: bytes) -> bytes:
        """`events`, which begin the stream. They have the first id, and say when the client comes back after a loss."""
        return with_retry(with_id(events, self._ids.line()), self._retry(None))

    def write(self, data: bytes, /) -> None:
        """See Transport.write."""
        after, self._after = self._after, None
        if after is not None:
            data = data.removesuffix(_TAIL)
        # Where a write is cut, the id of the last whole event says where the client is.
        data = with_ids(data, self._ids.line_at)
        if after is not None:
            last = self._ids.line(after)
            if not data:
                # An id alone is no event, and some clients would forget it. The next event has it.
                return
            if not data.endswith(last + b"\n"):
                data = with_id(data, last)
        self._transport.write(data)

    def tail(self, positions: Mapping[RoomName, Position], /) -> bytes:
        """See Transport.tail. `write` makes ids of it."""
        self._after = dict(positions)
        return _TAIL

    def closed(self) -> bool:
        """See Transport.closed."""
        return self._closing or self._transport.is_closing()

    def hold_reading(self) -> None:
        """Nothing is read from the client of a stream."""

    def close(self, ending: Ending) -> None:
        """See Transport.close. The connection ends when the client has taken all of it, or after the close timeout.

        A client that has closed its side is not told.
        """
        if self.closed():
            return
        self._closing = True
        if not ending.by_client:
            last = self.wire.close(ending)
            if stops(ending.code):
                last = with_id(last, end_id(ending.code))
            self._transport.write(with_retry(last, self._retry(ending)))
        self._transport.close()
        abort_later(self._transport, self._close_timeout)


class Watch(asyncio.Protocol):
    """Takes the place of aiohttp's protocol once a stream is open: its client has nothing more to say."""

    __slots__ = ("_end", "_gone", "_serving")

    def __init__(self, serving: Serving, end: Callable[[Ending], None], gone: Callable[[], None]) -> None:
        """`serving`: aiohttp's protocol. `end`: ends the stream. `gone`: the connection is lost."""
        self._serving = serving
        self._end = end
        self._gone = gone

    def data_received(self, data: bytes) -> None:
        self._end(_SPOKE)

    def eof_received(self) -> None:
        """The client takes what is written. Then the transport closes itself."""
        self._end(CONNECTION_LOST)

    def connection_lost(self, exc: Exception | None) -> None:
        self._serving.connection_lost(exc)
        self._gone()


def end_if_dead(transport: asyncio.Transport, seconds: float) -> None:
    """Let the kernel end the connection when its other side takes nothing for `seconds`, where the kernel can."""
    sock = transport.get_extra_info("socket")
    if sock is not None and _USER_TIMEOUT is not None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _USER_TIMEOUT, max(1, round(seconds * 1000)))
        except OSError:
            pass  # No TCP, or the connection is gone already.
