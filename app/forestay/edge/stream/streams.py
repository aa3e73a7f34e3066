"""Serves `GET /stream`: the messages of rooms as server-sent events.

A stock EventSource never comes back from an answer that is not a stream. So a refusal that is final is an HTTP error.
One that passes is a stream that ends at once: it says why, and when the client comes back.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, NamedTuple, cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from forestay.core.fanout.connection import Connection
from forestay.core.ports.observer import Observer
from forestay.core.ports.verifier import TicketUse
from forestay.core.rules.access import Identity
from forestay.core.sessions.first_rooms import FirstRooms
from forestay.core.sessions.sessions import Sessions
from forestay.edge.handshake.admission import Admission, Attempt
from forestay.edge.handshake.connect_hook import Entry
from forestay.edge.handshake.connect_request import present, ticket_in
from forestay.edge.handshake.cors import other_method, preflight, readable
from forestay.edge.handshake.outcomes import Outcomes
from forestay.edge.handshake.refused import Refused
from forestay.edge.listening.door import Serving
from forestay.edge.listening.servers import admit
from forestay.edge.problems import problem
from forestay.edge.stream.stream_request import StreamRequest, plan, read_request
from forestay.edge.stream.transport import StreamTransport, Watch, end_if_dead
from forestay.protocol.codes import (
    ABNORMAL_CLOSURE,
    CONNECTION_LOST,
    ENDINGS,
    CloseCode,
    Ending,
    ErrorCode,
    Refusal,
)
from forestay.protocol.requests import Join
from forestay.protocol.sse.event_ids import read_id, secret_of
from forestay.protocol.sse.wire import SseWire, with_retry

log = structlog.get_logger(__name__)

_METHODS: Final = ("GET",)
_TYPE: Final = "text/event-stream"

# Seconds after which a client comes back to a pod that does not take it now: the least, and the most. An EventSource
# adds no jitter of its own.
_LATER: Final = (3.0, 6.0)
# The least time in seconds after which one comes back otherwise, and the least width of the spread.
_SOON: Final = 0.1
_LEAST_SPREAD: Final = 0.5
# Milliseconds. Some clients come back at once after a number that is too large for them.
_LONGEST: Final = 600_000

_CANCELLED: Final = Ending(ABNORMAL_CLOSURE, "handler cancelled")


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What an event stream may use."""

    query_token: bool
    """Whether a token in the URL is accepted."""
    rooms: int
    """Rooms that one connection may be in."""
    spread: float
    """Seconds over which clients come back after a loss that hit many of them."""
    silence: float
    """Seconds for which the other side of a connection may take nothing."""
    close_timeout: float
    """Seconds that a client has to take what is written before the end."""


@dataclass(frozen=True, slots=True)
class StreamParts:
    """The parts of the pod that streams use, beside those of the core."""

    bus_up: Callable[[], bool]
    """Whether the bus can be reached. Without it a stream cannot join its rooms, and cannot ask again."""
    new_secret: Callable[[], str]
    """Returns a text that nobody can guess, of `SECRET` characters."""
    observer: Observer | None


class _Entered(NamedTuple):
    """A caller that may open a stream."""

    identity: Identity
    entry: Entry


class _Body(web.StreamResponse):
    """aiohttp's response without the body, which the transport writes."""

    # See ReadOnlyWebSocket: the head goes with the first event. The body has no length and no chunks.
    _send_headers_immediately = False
    _length_check = False

    async def write_eof(self, data: bytes = b"") -> None:
        """The connection ends instead."""


class EventStreams:
    """Opens event streams, and carries each one until its end."""

    def __init__(
        self,
        admission: Admission,
        limits: StreamLimits,
        sessions: Sessions,
        first_rooms: FirstRooms,
        wire: SseWire,
        parts: StreamParts,
    ) -> None:
        self._admission = admission
        self._limits = limits
        self._sessions = sessions
        self._first_rooms = first_rooms
        self._wire = wire
        self._bus_up = parts.bus_up
        self._new_secret = parts.new_secret
        self._outcomes = Outcomes("event stream refused", "event streams refused", admission, parts.observer)

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Returns when the stream has ended, or at once where there is none."""
        if request.method == "OPTIONS":
            return preflight(request, _METHODS)
        if request.method not in _METHODS:
            return other_method(request, _METHODS)
        started_at = perf_counter()
        try:
            asked = read_request(request, query_token=self._limits.query_token, most_rooms=self._limits.rooms)
            attempt = self._admission.begin()
            try:
                self._admission.check_origin(request)
                _check_ended(asked)
                if not self._bus_up():
                    raise Refused(503, Refusal(ErrorCode.UNAVAILABLE, "the bus is not reachable; try again later"))
                use, secret = self._ticket_use(request, asked)
                identity = await attempt.admit(present(request, asked.token, use, secret))
                entry = await self._admission.ask(request, identity, self._wire.name)
                return await self._open(
                    request, asked._replace(secret=secret), attempt, _Entered(identity, entry), started_at
                )
            finally:
                attempt.leave()
        except Refused as refused:
            self._outcomes.refused(request, refused, started_at)
            return self._refuse(request, refused)

    async def _open(
        self, request: web.BaseRequest, asked: StreamRequest, attempt: Attempt, entered: "_Entered", started_at: float
    ) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            self._outcomes.report("lost", request, started_at)
            return web.Response()
        admit(request)
        limits = self._limits
        begin = plan(asked, entered.identity)
        stream = StreamTransport(transport, self._wire, begin.ids, self._retry, limits.close_timeout)
        connection = await self._sessions.start(entered.identity, stream, id=entered.entry.connection)
        if connection.ended is not None:
            raise _refused_by(connection.ended)
        self._outcomes.report("ok", request, started_at)
        response = _stream_response(request)
        lost = CONNECTION_LOST
        try:
            writer = cast(AbstractStreamWriter, await response.prepare(request))
            self._sessions.greet(connection)
            await writer.write(stream.first(self._sessions.first_words(connection)))
            if request.transport is not None:
                attempt.end_handshake()
                if self._admission.hook is not None:
                    self._admission.hook.enter(connection, entered.entry)
                await self._carry(request, transport, connection, begin.joins)
                lost = _ending_of(connection)
        except ConnectionError:
            pass  # The connection broke while it was opened.
        except asyncio.CancelledError:
            lost = _CANCELLED
            raise
        except Exception:
            log.exception("a bug ended a connection", connection=connection.id)
            connection.end(ENDINGS[CloseCode.INTERNAL_ERROR])
        finally:
            self._sessions.lost(connection, lost)
        return response

    async def _carry(
        self, request: web.BaseRequest, transport: asyncio.Transport, connection: Connection, joins: Sequence[Join]
    ) -> None:
        """Serve an open stream until its connection is lost."""
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        serving = cast(Serving, request.protocol)
        transport.set_protocol(Watch(serving, connection.end, lambda: _resolve(gone)))
        end_if_dead(transport, self._limits.silence)
        if not self._admission.open:
            # The drain began while the registry was asked, and may have ended all others already.
            connection.end(ENDINGS[CloseCode.GOING_AWAY])
        self._first_rooms.join(connection, joins)
        await gone

    def _ticket_use(self, request: web.BaseRequest, asked: StreamRequest) -> tuple[TicketUse, str]:
        """For what a ticket of this request would be used, and the secret of its stream; empty without a ticket."""
        if ticket_in(request) is None:
            return TicketUse.STREAM, ""
        secret = secret_of(asked.last_id)
        return (TicketUse.RESUME, secret) if secret else (TicketUse.STREAM, self._new_secret())

    def _refuse(self, request: web.BaseRequest, refused: Refused) -> web.StreamResponse:
        if refused.status != 503:
            response = problem(refused.refusal, refused.status)
        else:
            ending = Ending(CloseCode.TRY_AGAIN_LATER, refused.refusal.message)
            body = with_retry(self._wire.close(ending), self._retry(ending))
            response = web.Response(body=body, content_type=_TYPE)
        _unbuffered(request, response)
        return response

    def _retry(self, ending: Ending | None) -> int:
        """See StreamTransport."""
        if ending is not None and ending.code == CloseCode.TRY_AGAIN_LATER:
            return _milliseconds(*_LATER)
        return _milliseconds(_SOON, _SOON + max(_LEAST_SPREAD, self._limits.spread))


def _check_ended(asked: StreamRequest) -> None:
    """Raises Refused where the client comes back by itself, and was told not to."""
    ended = None if asked.last_id is None else read_id(asked.last_id, ()).ended
    if ended is not None:
        reason = ENDINGS[CloseCode(ended)].reason if ended in ENDINGS else "the client must not come back"
        message = f"the stream was ended for good with {ended}: {reason}; open another one"
        raise Refused(403, Refusal(ErrorCode.FORBIDDEN, message))


def _refused_by(ending: Ending) -> Refused:
    """The refusal for a connection that ended before its stream began."""
    if ending.code == CloseCode.REVOKED:
        return Refused(401, Refusal(ErrorCode.BAD_TOKEN, "the token was revoked: get a new one"))
    return Refused(403, Refusal(ErrorCode.FORBIDDEN, f"{ending.reason}; close another one first"))


def _stream_response(request: web.BaseRequest) -> _Body:
    response = _Body(headers={"Content-Type": _TYPE})
    response.force_close()
    _unbuffered(request, response)
    return response


def _unbuffered(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Let the page read the response, and keep proxies from collecting or compressing it."""
    readable(request, response)
    response.headers["Cache-Control"] = "no-store, no-transform"
    response.headers["X-Accel-Buffering"] = "no"


def _milliseconds(least: float, most: float) -> int:
    """A whole number between two numbers of seconds, another one for each client."""
    return min(_LONGEST, max(1, round(random.uniform(least, most) * 1000)))


def _ending_of(connection: Connection) -> Ending:
    """How an open stream ended: as the gateway ended it, or by the client or the network."""
    return connection.ended or CONNECTION_LOST


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
