"""The listener that strangers reach: three addresses, and bad requests answered without an echo.

aiohttp's own answer to a malformed request repeats part of it, and logs a traceback: a token in an overlong line would
come back and be kept. Here it is one short answer, and a log line now and then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

import structlog
from aiohttp import web, web_response
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_websocket import WebSocketReader

from forestay.edge.log_throttle import LogThrottle
from forestay.edge.problems import problem
from forestay.protocol.codes import ErrorCode, Refusal

log = structlog.get_logger(__name__)

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HEADER_TIMEOUT: Final = 10.0
"""Seconds that a caller has for a whole request; also how long an idle HTTP connection is kept."""
# On every answer of both ports aiohttp would say its version and Python's; it has no option for that.
vars(web_response)["SERVER_SOFTWARE"] = "forestay"


class _NoAccessLog(AbstractAccessLogger):
    """A line for each request would hold its URL, and with it tokens."""

    @property
    def enabled(self) -> bool:
        return False

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Never called."""


class _FirstFrame:
    """Refuses a client that does not mask (RFC 6455 §5.1), which aiohttp's reader does not: who masks once, masks."""

    def __init__(self, reader: WebSocketReader) -> None:
        self._reader = reader
        self._head: bytes | None = b""
        self.feed_eof = reader.feed_eof

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if self._head is not None:
            self._head += data
            if len(self._head) < 2:
                return False, b""
            # In place of the frame the reader gets one with reserved bits, to which it has the same answer.
            data, self._head = self._head if self._head[1] & 0x80 else b"\xf0\x80", None
        return self._reader.feed_data(data)


class _Handler(web.RequestHandler):
    bad_requests: LogThrottle

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        super().set_parser(cast(WebSocketReader, _FirstFrame(parser)), data_received_cb)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        if status >= 500:
            log.error("a bug ended a request", exc_info=exc)
            response = web.Response(status=status)
        else:
            self.bad_requests.count("count")
            response = problem(Refusal(ErrorCode.BAD_MESSAGE, "malformed HTTP request"), status)
        response.force_close()
        return response


class PublicServer(web.Server):
    """Serves `answers` by path; everything else is 404."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        super().__init__(self._answer)
        self._answers = answers
        self._bad_requests = LogThrottle("malformed requests")

    def __call__(self) -> web.RequestHandler:
        loop = asyncio.get_running_loop()
        handler = _Handler(self, loop=loop, keepalive_timeout=HEADER_TIMEOUT, access_log_class=_NoAccessLog)
        handler.bad_requests = self._bad_requests
        return handler

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = self._answers.get(request.rel_url.path)
        if answer is None:
            return problem(Refusal(ErrorCode.NOT_FOUND, "there is nothing at this path"))
        return await answer(request)
