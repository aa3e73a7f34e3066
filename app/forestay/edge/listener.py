"""Listens on the public port: routes requests by path and refuses malformed ones.

aiohttp's own response to a malformed request repeats part of it, and logs a traceback. A token in an overlong line
would be echoed and logged. Here the response is short, and malformed requests are counted in the log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

import structlog
from aiohttp import web, web_response
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_websocket import WebSocketReader

from forestay.edge.dead_transport import free
from forestay.edge.frames import Assemblies, Frames, MessageLimits
from forestay.edge.log_throttle import LogThrottle
from forestay.edge.problems import problem
from forestay.protocol.codes import ErrorCode, Refusal

log = structlog.get_logger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HEADER_TIMEOUT: Final = 10.0
"""Seconds that a caller has for a whole request. An idle HTTP connection is kept for the same time."""
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

    def __init__(
        self, server: web.Server, loop: asyncio.AbstractEventLoop, malformed: LogThrottle, assemblies: Assemblies
    ) -> None:
        super().__init__(server, loop=loop, keepalive_timeout=HEADER_TIMEOUT, access_log_class=_NoAccessLog)
        self._malformed = malformed
        self._assemblies = assemblies
        self.frames: Frames | None = None
        """Of a WebSocket connection that is not lost."""
        self._accepted: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._accepted = transport
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        # They hold the reader, and the reader this.
        self.frames = None
        # aiohttp forgets the transport earlier, when it closes the connection itself.
        if self._accepted is not None:
            free(self._accepted)
            self._accepted = None

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        self.frames = Frames(parser, self, self._assemblies)
        super().set_parser(cast(WebSocketReader, self.frames), data_received_cb)

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
            response = problem(
                Refusal(ErrorCode.BAD_MESSAGE, "the HTTP request is malformed; send a valid HTTP/1.1 request"), status
            )
        response.force_close()
        return response


class PublicServer(web.Server):
    """Serves each path with its handler. Other paths are answered with 404."""

    def __init__(self, handlers: Mapping[str, Handler], limits: MessageLimits) -> None:
        super().__init__(self._handle)
        self._assemblies = Assemblies(limits)
        self._handlers = handlers
        self._malformed = LogThrottle("malformed requests")

    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, asyncio.get_running_loop(), self._malformed, self._assemblies)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = self._handlers.get(request.rel_url.path)
        if handler is None:
            return problem(Refusal(ErrorCode.NOT_FOUND, "there is nothing at this path; docs/protocol.md lists them"))
        return await handler(request)
