"""The listener that strangers reach: three addresses, and bad requests answered without an echo.

aiohttp's own answer to a malformed request repeats part of it, and logs a traceback: a token in an overlong line would
come back and be kept. Here it is one short answer, and a log line now and then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from app.edge.problems import problem
from app.protocol.codes import ErrorCode, Refusal

log = structlog.get_logger(__name__)

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HEADER_TIMEOUT: Final = 10.0
"""Seconds that a caller has for a whole request; also how long an idle HTTP connection is kept."""

# Bad requests come in floods; a line each would turn them into a flood of ours.
_LOG_EVERY = 10.0


class _BadRequests:
    """Says once in a while how many malformed requests there were."""

    def __init__(self) -> None:
        self._count = 0
        self._next = 0.0

    def note(self, now: float) -> None:
        self._count += 1
        if now >= self._next:
            log.warning("malformed requests", count=self._count)
            self._count = 0
            self._next = now + _LOG_EVERY


class _NoAccessLog(AbstractAccessLogger):
    """A line for each request would hold its URL, and with it tokens."""

    @property
    def enabled(self) -> bool:
        return False

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Never called."""


class _Handler(web.RequestHandler):
    bad_requests: _BadRequests

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
            self.bad_requests.note(asyncio.get_running_loop().time())
            response = problem(Refusal(ErrorCode.BAD_MESSAGE, "malformed HTTP request"), status)
        response.force_close()
        return response


class PublicServer(web.Server):
    """Serves `answers` by path; everything else is 404."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        super().__init__(self._answer)
        self._answers = answers
        self._bad_requests = _BadRequests()

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
