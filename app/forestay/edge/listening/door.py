"""Receives a new connection until its request is complete, and hands it to aiohttp.

aiohttp keeps a parser, a task and a timer for each connection, and its parser keeps headers in many small objects. So a
connection that sends nothing, or half of a request, stays here: it costs its bytes, which the lobby limits.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol, cast

from forestay.edge.dead_transport import free
from forestay.edge.listening.lobby import HEAVY, TOO_LARGE, Lobby
from forestay.edge.problems import raw_problem
from forestay.protocol.codes import ErrorCode, Refusal

_END_OF_HEAD: Final = b"\r\n\r\n"
# How a request without a body begins. One that has a body all the same gets no room for it.
_WITHOUT_BODY: Final = b"GET "
# aiohttp refuses a line that ends like this at once, so there is nothing to wait for.
_BAD_END: Final = b"\n\n"

_LATE: Final = raw_problem(
    Refusal(ErrorCode.BAD_MESSAGE, "the request did not arrive in time; send it at once after connecting"), 408
)


class Serving(Protocol):
    """aiohttp's protocol of one connection, as far as a door needs it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def connection_lost(self, exc: BaseException | None) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Door(asyncio.Protocol):
    """The protocol of one connection until it is admitted."""

    __slots__ = (
        "_admitted",
        "_answered",
        "_counted",
        "_head",
        "_lobby",
        "_make",
        "_refused",
        "_serving",
        "_transport",
        "client",
        "holds",
        "received",
    )

    def __init__(self, lobby: Lobby, make: "Callable[[Door, bytes], Serving]") -> None:
        """`make`: returns what serves this connection, by the request that has come.

        It calls `admit` or `release` when the connection is no stranger any more.
        """
        self._lobby = lobby
        self._make = make
        self._head: bytearray | None = None
        self._serving: Serving | None = None
        self._transport: asyncio.Transport | None = None
        self._counted = True
        self._admitted = False
        self._answered = False
        self._refused = False
        self.client: str | None = None
        """The address of the client, where a trusted proxy has said it before the request."""
        self.received = 0
        """Bytes that have come through this door."""
        self.holds = False
        """Whether the rest of a body waits in the kernel until the caller is known, or has its answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._lobby.enter(self)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._refused or self._transport.is_closing():
            return
        if self._serving is None:
            self._collect(data)
        elif self._answered or self._count(len(data), self.received + len(data)):
            self._serving.data_received(data)

    def eof_received(self) -> None:
        """The transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._lobby.leave(self)
        if self._counted:
            self._counted = False
            self._lobby.closed(self)
        transport, self._transport = self._transport, None
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.connection_lost(exc)
        if transport is not None:
            free(transport)

    def pause_writing(self) -> None:
        if self._serving is not None:
            self._serving.pause_writing()

    def resume_writing(self) -> None:
        if self._serving is not None:
            self._serving.resume_writing()

    def admit(self) -> None:
        """Leave the way: from now on the transport serves what `make` returned, or is about to return."""
        self._lobby.leave(self)
        self._admitted = True
        if self._serving is not None:
            self._hand_over(self._serving)

    def release(self) -> None:
        """Leave the way to a protocol that the transport has next."""
        self._lobby.leave(self)
        self._admitted = True
        self._serving = self._transport = None

    def serve_instead(self, serving: Serving, received: bytes) -> None:
        """Let `serving` go on in the place of what served this connection, which `received` has come of."""
        if self._transport is not None:
            self._serving = serving
            serving.connection_made(self._transport)
            serving.data_received(received)

    def answered(self) -> None:
        """The request of a stranger is answered. What it still sends of a body is not kept, and counts no more."""
        self._answered = True

    def dismiss(self, *, late: bool) -> None:
        transport = self._transport
        if transport is None:
            return
        if late and self._head and self._serving is None:
            transport.write(_LATE)
            transport.close()
        else:
            transport.abort()

    def _collect(self, data: bytes) -> None:
        """Take a part of the head. The usual request comes in one part, which is not copied."""
        head = self._head
        if head is None:
            # A parser ignores empty lines before a request, so they do not end its head.
            request: bytes | bytearray = data.lstrip(b"\r\n")
            start = 0
        else:
            start = max(0, len(head) - 3)
            head += data
            request = head
        end = request.find(_END_OF_HEAD, start)
        if not self._count(len(data), len(request) if end < 0 else end):
            return
        if end >= 0 or not _may_go_on(request, start):
            self._head = None
            self._serve(bytes(request))
        elif head is None and request:
            self._head = bytearray(request)

    def _serve(self, request: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        self._lobby.answering(self)
        serving = self._make(self, request)
        serving.connection_made(transport)
        if self._admitted:
            self._hand_over(serving)
        else:
            self._serving = serving
        serving.data_received(request)
        if not self._admitted and not request.startswith(_WITHOUT_BODY):
            self.holds = True
            transport.pause_reading()

    def _hand_over(self, serving: Serving) -> None:
        if self._transport is not None:
            self._transport.set_protocol(cast(asyncio.Protocol, serving))
            self._serving = self._transport = None

    def _count(self, size: int, head: int) -> bool:
        """Count `size` more bytes, where the request has so many bytes in its `head`. False if the connection ends."""
        self.received += size
        fits = self._lobby.add(self, size)
        most = self._lobby.limits.head_bytes
        if head > most:
            sentence = f"the head of the request is larger than {most} bytes; send fewer headers"
            self._refuse(TOO_LARGE, raw_problem(Refusal(ErrorCode.TOO_LARGE, sentence), 431))
            return False
        if not fits:
            sentence = "too many requests are unfinished; try again later"
            self._refuse(HEAVY, raw_problem(Refusal(ErrorCode.UNAVAILABLE, sentence), 503))
        return fits

    def _refuse(self, reason: str, answer: bytes) -> None:
        """End the connection. Before aiohttp has it, `answer` goes out and the rest of the request is thrown away.

        A close with unread data is a reset, and a reset can overtake the answer (RFC 9112, section 9.6). So the client
        closes; where it does not, it goes like any other that waits.
        """
        self._lobby.refuse(self, reason)
        self._refused = True
        self._head = None
        transport = self._transport
        if transport is None:
            return
        if self._serving is None:
            transport.write(answer)
            transport.write_eof()
        else:
            transport.abort()


def _may_go_on(head: bytes | bytearray, start: int) -> bool:
    """Whether more data can make a request of this. If not, aiohttp answers at once."""
    return not head or (head[:1].isalpha() and head.find(_BAD_END, start) < 0)
