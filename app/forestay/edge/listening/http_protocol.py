"""aiohttp's protocol of one connection: limits the time of a request, and answers malformed ones.

aiohttp's own response to a malformed request repeats part of it, and logs a traceback. A token in an overlong line
would be echoed and logged. Here the response is short, and malformed requests are counted in the log.
"""

import asyncio
from collections.abc import Callable
from typing import Final, cast

import structlog
from aiohttp import web, web_response
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_websocket import WebSocketReader

from forestay.edge.dead_transport import free
from forestay.edge.kept_errors import forget_frames
from forestay.edge.listening.door import Door
from forestay.edge.listening.lobby import Lobby
from forestay.edge.listening.routes import Handler
from forestay.edge.log_throttle import LogThrottle
from forestay.edge.problems import problem
from forestay.edge.websocket.open_sockets import OpenSockets
from forestay.edge.websocket.upgrade import Released
from forestay.protocol.codes import ErrorCode, Refusal

log = structlog.get_logger(__name__)

MakeRequest = Callable[..., web.BaseRequest]
"""Makes aiohttp's object for a request."""

HEAD_TIMEOUT: Final = 10.0
"""Seconds that a caller has for the head of a request. An idle HTTP connection is kept for the same time."""
ANSWER_TIMEOUT: Final = 30.0
"""Seconds from there to the end of the answer: for the body, and for a caller that takes the answer slowly."""

# Seconds for which the rest of a body is read after the answer. A client that is still sending would lose the answer.
_LINGERING: Final = 1.0

_MALFORMED: Final = Refusal(ErrorCode.BAD_MESSAGE, "the HTTP request is malformed; send a valid HTTP/1.1 request")

# Otherwise aiohttp writes its version and Python's into every response of both ports. It has no option for that.
vars(web_response)["SERVER_SOFTWARE"] = "forestay"


class Port(web.Server):
    """What the connections of one port share."""

    def __init__(
        self, handler: Handler, lobby: Lobby, line_bytes: int, make_request: MakeRequest | None = None
    ) -> None:
        """`line_bytes`: the longest line of a request."""
        super().__init__(handler, request_factory=make_request)
        self.lobby = lobby
        self.line_bytes = line_bytes
        self.malformed = LogThrottle("malformed requests")
        self.sockets: OpenSockets | None = None
        """The WebSockets of this port, where there are some."""


class _NoAccessLog(AbstractAccessLogger):
    """Writes no line for a request: it would contain the URL, and with it tokens."""

    @property
    def enabled(self) -> bool:
        return False

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Never called."""


class _Rest:
    """Takes from aiohttp what a client has sent behind a request that is upgraded."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """The connection is released."""


class HttpProtocol(web.RequestHandler):
    """aiohttp's HTTP protocol of one connection, with our responses to errors."""

    def __init__(self, server: "Port", door: Door, refused: Exception | None = None) -> None:
        """`refused`: why the request may not connect, where that is known."""
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=HEAD_TIMEOUT,
            access_log_class=_NoAccessLog,
            max_line_size=server.line_bytes,
            max_field_size=server.line_bytes,
            lingering_time=_LINGERING,
        )
        self._line_bytes = server.line_bytes
        self._malformed = server.malformed
        self._sockets = server.sockets
        self._lobby = server.lobby
        self.refused = refused
        self.client = door.client
        """See Door.client."""
        self._door: Door | None = door
        self._accepted: asyncio.BaseTransport | None = None
        self._last: asyncio.TimerHandle | None = None
        self.waiting: asyncio.Future[bytes] | None = None
        """What the answer waits for: see `departures`."""

    def release(self) -> Released:
        """Let the connection go, because its request is upgraded. aiohttp takes it for lost. Raises ConnectionError."""
        self.admit()
        rest = _Rest()
        self.set_parser(cast(WebSocketReader, rest))
        transport = self.transport
        if transport is None or transport.is_closing() or self._sockets is None:
            raise ConnectionResetError("the connection broke during the upgrade")
        self.transport = self._accepted = None
        # It closes the transport that it has, and it has none.
        super().connection_lost(None)
        return Released(transport, rest.data, self._sockets)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        # The connection is lost, or released: there is no way to send an answer.
        if self.transport is None:
            return resp, True
        return await super().finish_response(request, resp, start_time)

    def admit(self) -> None:
        """Take the transport over from the door."""
        door, self._door = self._door, None
        if door is not None:
            door.admit()
            self._read_on(door)

    def answered(self) -> None:
        """The handler has answered. Give the client its time to take the answer, and read what it still sends."""
        if self._door is not None:
            self._door.answered()
            self._read_on(self._door)
        elif self._accepted is not None:
            # The lobby no longer limits the time of this connection.
            self._last = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT, self._give_up)

    def _read_on(self, door: Door) -> None:
        """Read again where `door` has stopped, unless aiohttp has stopped too."""
        if door.holds and self.transport is not None and not (self._reading_paused or self._buffer_paused):
            self.transport.resume_reading()

    def _give_up(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def dismiss(self, *, late: bool) -> None:
        """See Dismissible.dismiss."""
        self.force_close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._accepted = transport
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._last is not None:
            self._last.cancel()
        waiting, self.waiting = self.waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionResetError("the client has gone"))
        # aiohttp forgets the transport earlier, when it closes the connection itself.
        transport, self._accepted = self._accepted, None
        if self._door is None and transport is not None:
            self._lobby.closed(self)
            free(transport)
        self._door = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("part of the response is sent already")
        if status >= 500:
            log.error("a bug ended a request", exc_info=exc)
            response = web.Response(status=status)
        else:
            if exc is not None:
                forget_frames(exc)
            self._malformed.count("count")
            # aiohttp takes what it cannot read for HTTP/1.0. Some WebSocket clients do not read such an answer.
            vars(request)["_version"] = HttpVersion11
            response = self._too_long() if isinstance(exc, LineTooLong) else problem(_MALFORMED, status)
        response.force_close()
        return response

    def _too_long(self) -> web.Response:
        """The usual cause is a token that is far too long: the verifier does not see it."""
        reason = f"a line of the request is longer than {self._line_bytes} bytes; send a shorter token or fewer cookies"
        return problem(Refusal(ErrorCode.TOO_LARGE, f"{reason}; FORESTAY_MAX_TOKEN_BYTES decides"), 431)
