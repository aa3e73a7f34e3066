"""Serves HTTP on both ports: routes requests by path, limits their time, and answers malformed ones.

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

from forestay.edge.client_address import TrustedProxies
from forestay.edge.listening.dead_transport import free
from forestay.edge.listening.door import Door
from forestay.edge.listening.lobby import Lobby
from forestay.edge.listening.proxied_door import ProxiedDoor
from forestay.edge.listening.routes import Handler, Routes
from forestay.edge.log_throttle import LogThrottle
from forestay.edge.problems import problem
from forestay.edge.websocket.frames import Assemblies, Frames, MessageLimits
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
_LATE: Final = Refusal(ErrorCode.BAD_MESSAGE, "the request took too long; send its body at once")

# Otherwise aiohttp writes its version and Python's into every response of both ports. It has no option for that.
vars(web_response)["SERVER_SOFTWARE"] = "forestay"


class _NoAccessLog(AbstractAccessLogger):
    """Writes no line for a request: it would contain the URL, and with it tokens."""

    @property
    def enabled(self) -> bool:
        return False

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Never called."""


class _Protocol(web.RequestHandler):
    """aiohttp's HTTP protocol of one connection, with our responses to errors."""

    def __init__(self, server: "_Server", door: Door) -> None:
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
        self._assemblies = server.assemblies
        self.frames: Frames | None = None
        """Of a WebSocket connection that is not lost."""
        self._lobby = server.lobby
        self.client = door.client
        """See Door.client."""
        self._door: Door | None = door
        self._accepted: asyncio.BaseTransport | None = None
        self._last: asyncio.TimerHandle | None = None
        self.waiting: asyncio.Future[bytes] | None = None
        """What the answer waits for: see `departures`."""

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        self.admit()
        if self._assemblies is not None:
            self.frames = Frames(parser, self, self._assemblies)
            parser = cast(WebSocketReader, self.frames)
        super().set_parser(parser, data_received_cb)

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
        elif self._accepted is not None and self.frames is None:
            # The lobby no longer limits the time of this connection. A WebSocket has a limit of its own.
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
        # They hold the reader, and the reader this.
        self.frames = None
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
                # With its traceback the error would hold the whole connection in a reference cycle.
                exc.__traceback__ = exc.__cause__ = exc.__context__ = None
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


class _Server(web.Server):
    """Makes the protocols of one port."""

    # Whether a connection is a stranger no more when the head of its first request is complete.
    admits_requests = False

    def __init__(
        self, handler: Handler, lobby: Lobby, line_bytes: int, make_request: MakeRequest | None = None
    ) -> None:
        """`line_bytes`: the longest line of a request."""
        super().__init__(handler, request_factory=make_request)
        self.lobby = lobby
        self.line_bytes = line_bytes
        self.malformed = LogThrottle("malformed requests")
        self.assemblies: Assemblies | None = None
        """Of the messages of WebSocket clients, where there are some."""

    def door(self) -> Door:
        """The protocol of a new connection."""
        return Door(self.lobby, self._enter)

    def _enter(self, door: Door) -> _Protocol:
        protocol = _Protocol(self, door)
        if self.admits_requests:
            protocol.admit()
        return protocol


def admit(request: web.BaseRequest) -> None:
    """Let the caller of `request` be no stranger any more: its body may be large, and its answer may take long.

    For use on the public port, when the caller is known. An upgrade to a WebSocket does it by itself.
    """
    protocol = request.protocol
    if isinstance(protocol, _Protocol):
        protocol.admit()
    if request.transport is not None and request.headers.get("Expect", "").lower() == "100-continue":
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class PublicServer(_Server):
    """Serves each path with its handler.

    A connection has one request. A second one on the same connection would come past the door.
    """

    def __init__(
        self,
        routes: Routes,
        lobby: Lobby,
        line_bytes: int,
        messages: MessageLimits,
        proxies: TrustedProxies,
    ) -> None:
        """`proxies`: those that may say the client's address before the request."""
        super().__init__(self._handle, lobby, line_bytes)
        self._proxies = proxies
        self.assemblies = Assemblies(messages)
        self._routes = routes

    def door(self) -> Door:
        """The protocol of a new connection."""
        return ProxiedDoor(self.lobby, self._enter, self._proxies) if self._proxies else super().door()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        protocol = request.protocol
        try:
            response = await self._routes.find(request)(request)
        except ConnectionError:
            if request.transport is not None and not request.transport.is_closing():
                raise
            # The client has gone, so this goes nowhere.
            response = web.Response()
        finally:
            if isinstance(protocol, _Protocol):
                protocol.answered()
        response.force_close()
        return response


class InternalServer(_Server):
    """Serves the routes of an aiohttp application, with one time limit for each request.

    Those who can reach this port are no strangers once they ask: a request may have a body, and another one may follow.
    """

    admits_requests = True

    def __init__(self, app: web.Server, lobby: Lobby, line_bytes: int) -> None:
        """`app`: as aiohttp makes it of an application."""
        super().__init__(self._handle, lobby, line_bytes, app.request_factory)
        self._serve = app.request_handler

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        protocol = request.protocol
        if isinstance(protocol, _Protocol):
            self.lobby.busy(protocol)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT) as limit:
                return await self._serve(request)
        except TimeoutError:
            if not limit.expired():
                raise
            return problem(_LATE, 408)
        finally:
            if isinstance(protocol, _Protocol) and protocol.connected:
                self.lobby.idle(protocol)
