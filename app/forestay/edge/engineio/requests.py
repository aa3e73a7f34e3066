"""Serves the requests of Engine.IO: opens sessions, and finds the session of each poll, POST and upgrade.

Refuses in one order: the form of the request (400), a pod that drains or is full (503), the origin (403). The token
comes later, in a packet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from aiohttp import web

from forestay.core.ports.observer import Observer
from forestay.edge.engineio.answers import BadRequest, allowed, options, payload, refused, taken
from forestay.edge.engineio.application import Application, Opening
from forestay.edge.engineio.carrier import Carrier
from forestay.edge.engineio.form import check_opening, check_polling, check_websocket, only, subprotocol
from forestay.edge.engineio.polling import Polling
from forestay.edge.engineio.session import EngineSession
from forestay.edge.engineio.sessions import SERVE_WITHIN, EngineSessions
from forestay.edge.engineio.socket import NOT_POLLING, EngineClient, EngineSocket, MovingClient
from forestay.edge.handshake.admission import Admission, Attempt
from forestay.edge.handshake.cors import readable
from forestay.edge.handshake.outcomes import Outcomes
from forestay.edge.handshake.refused import Refused
from forestay.edge.listening.servers import admit
from forestay.edge.log_throttle import LogThrottle
from forestay.edge.problems import problem
from forestay.edge.websocket.receiver import Receiver
from forestay.edge.websocket.upgrade import UPGRADED, Upgraded, upgrade
from forestay.edge.websocket.websocket import SocketLimits
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.engineio.errors import RequestError
from forestay.protocol.engineio.packets import Times, open_packet
from forestay.protocol.websocket.writing import text_frame

_WEBSOCKET: Final = "websocket"

_BUG: Final = ENDINGS[CloseCode.INTERNAL_ERROR]

_NOT_STICKY: Final = (
    "a session lives on one pod: it has ended, or another pod has it. A few of these are normal after an end; if there "
    "are more, route polling clients by a cookie or their address, or leave polling out of FORESTAY_SOCKETIO_TRANSPORTS"
)

_UNKNOWN: Final = (
    "this session is over, or on another pod; connect again. If that goes on, the requests of a client reach several "
    "pods: polling needs sticky routing, and clients with the transport websocket alone do without"
)


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the engine offers, and what a session may use."""

    transports: Sequence[str]
    """`polling`, `websocket` or both."""
    times: Times
    socket: SocketLimits
    """Of a WebSocket. A polling session has the same ones: for the payload of a POST, and for the time of its end."""
    message_timeout: float
    """Seconds for the body of a POST."""
    most_unused: int
    """Sessions that never had a namespace, at the same time."""
    serve_within: float = SERVE_WITHIN
    """Seconds for the first namespace."""


class EngineRequests:
    """Serves the path of Engine.IO."""

    def __init__(
        self,
        application: Application,
        admission: Admission,
        limits: EngineLimits,
        new_sid: Callable[[], str],
        observer: Observer | None,
    ) -> None:
        """`new_sid`: returns a text that nobody can guess, of 120 random bits or more."""
        self._application = application
        self._admission = admission
        self._limits = limits
        self._observer = observer
        self._upgrades = [_WEBSOCKET] if _WEBSOCKET in limits.transports else []
        self.sessions = EngineSessions(
            limits.times, limits.socket.close_timeout, limits.most_unused, new_sid, limits.serve_within
        )
        self._outcomes = Outcomes("Socket.IO request refused", "Socket.IO requests refused", admission, observer)
        self._unknown = LogThrottle("requests for Socket.IO sessions that are not on this pod")

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. A poll is answered when there is something to say."""
        started_at = perf_counter()
        if request.method == "OPTIONS":
            return options(request, may_connect=self._may_connect(request))
        try:
            return await self._serve(request, started_at)
        except BadRequest as bad:
            answer = refused(request, bad)
        except Refused as refusal:
            answer = self._refuse(request, refusal, started_at)
        return allowed(request, answer) if self._may_connect(request) else answer

    async def _serve(self, request: web.BaseRequest, started_at: float) -> web.StreamResponse:
        transport, sid = only(request, "transport"), only(request, "sid")
        if transport is None or transport not in self._limits.transports:
            offered = " or ".join(self._limits.transports)
            raise BadRequest(RequestError.UNKNOWN_TRANSPORT, f"the query needs transport={offered}")
        check = check_websocket if transport == _WEBSOCKET else check_polling
        check(request)
        if sid is None:
            return await self._open(request, transport, started_at)
        self._admission.check_origin(request)
        session = self.sessions.find(sid)
        if session is None:
            self._unknown.count(transport, _NOT_STICKY)
            if self._observer is not None:
                self._observer.unknown_session()
            raise BadRequest(RequestError.UNKNOWN_SESSION, _UNKNOWN)
        if transport == _WEBSOCKET:
            return self._move(request, session)
        return await self._carry(request, session)

    async def _open(self, request: web.BaseRequest, transport: str, started_at: float) -> web.StreamResponse:
        check_opening(request)
        attempt = self._admission.begin()
        try:
            self._admission.check_origin(request)
        except Refused:
            attempt.leave()
            raise
        opening = Opening(request, self._admission.client(request))
        if transport == _WEBSOCKET:
            return self._begin_socket(attempt, opening, started_at)
        session = self.sessions.new(attempt)
        polling = Polling(session, request.headers.get("User-Agent", ""))
        self._start(session, polling, opening)
        self._outcomes.report("ok", request, started_at)
        return payload(request, self._open_packet(session, self._upgrades))

    def _begin_socket(self, attempt: Attempt, opening: Opening, started_at: float) -> web.StreamResponse:
        request = opening.request
        try:
            upgraded = upgrade(request, subprotocol(request))
        except BaseException:
            attempt.leave()
            self._outcomes.report("lost", request, started_at)
            raise
        # Only now: a session that has no carrier yet could not be told that it has to go.
        session, (socket, receiver) = self.sessions.new(attempt), self._take_over(upgraded)
        try:
            self._start(session, socket, opening)
        except BaseException:
            socket.abort()
            raise
        self._outcomes.report("ok", request, started_at)
        socket.write(upgraded.answer + text_frame(self._open_packet(session, [])))
        receiver.begin(EngineClient(session, socket))
        return UPGRADED

    def _start(self, session: EngineSession, carrier: Carrier, opening: Opening) -> None:
        try:
            session.start(carrier, lambda begun: self._application.opened(begun, opening))
        except Exception:
            session.gone(_BUG)
            raise

    def _move(self, request: web.BaseRequest, session: EngineSession) -> web.StreamResponse:
        """Let a polling session move to this WebSocket. A second one is closed, and changes nothing."""
        polling = session.carrier
        upgraded = upgrade(request, subprotocol(request))
        socket, receiver = self._take_over(upgraded)
        socket.write(upgraded.answer)
        if not isinstance(polling, Polling) or session.upgrading:
            socket.close(NOT_POLLING)
            receiver.discard()
        else:
            receiver.begin(MovingClient(session, polling, socket))
        return UPGRADED

    def _take_over(self, upgraded: Upgraded) -> tuple[EngineSocket, Receiver]:
        limits = self._limits.socket
        socket = EngineSocket(upgraded.connection.transport, limits.close_timeout)
        return socket, Receiver(upgraded.connection, socket, limits)

    async def _carry(self, request: web.BaseRequest, session: EngineSession) -> web.StreamResponse:
        """Answer a poll or a POST of a session."""
        polling = session.carrier
        if not isinstance(polling, Polling):
            raise BadRequest(RequestError.BAD_REQUEST, "this session has moved to a WebSocket, and polls no more")
        if request.method not in ("GET", "POST"):
            raise BadRequest(RequestError.BAD_METHOD, "a session is polled by GET, and sends by POST")
        admit(request)
        if request.method == "GET":
            body = await polling.poll(request)
            if body is None:
                raise _over(session)
            return payload(request, body)
        status = await polling.push(request, self._limits.socket.message_bytes, self._limits.message_timeout)
        return taken(request) if status == 200 else allowed(request, refused(request, _over(session), status))

    def _open_packet(self, session: EngineSession, upgrades: Sequence[str]) -> bytes:
        return open_packet(session.sid, upgrades, self._limits.times, self._limits.socket.message_bytes)

    def _may_connect(self, request: web.BaseRequest) -> bool:
        try:
            self._admission.check_origin(request)
        except Refused:
            return False
        return True

    def _refuse(self, request: web.BaseRequest, refusal: Refused, started_at: float) -> web.Response:
        """Answer a request that was refused for another reason than its form."""
        self._outcomes.refused(request, refusal, started_at)
        if refusal.status != 503:
            return refused(request, BadRequest(RequestError.FORBIDDEN, str(refusal)))
        answer = problem(refusal.refusal, refusal.status)
        readable(request, answer)
        return answer


def _over(session: EngineSession) -> BadRequest:
    why = f"{session.broken}; " if session.broken else ""
    return BadRequest(RequestError.BAD_REQUEST, f"{why}the session is over; connect again")
