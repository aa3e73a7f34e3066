"""Upgrades HTTP requests to WebSocket connections, or refuses them.

The form of the request is checked first (400), then admission decides. Nothing costly is done before that.
"""

import asyncio
import base64
import binascii
from dataclasses import dataclass
from typing import Final

import structlog
from aiohttp import web

from forestay.core.fanout.connection import Connection
from forestay.core.ports.observer import Observer
from forestay.core.rules.access import Identity
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.sessions import Sessions
from forestay.edge.admission import Admission, Refused
from forestay.edge.log_throttle import LogThrottle
from forestay.edge.problems import problem
from forestay.edge.request_trace import request_trace, trace_id
from forestay.edge.websocket import ClientSocket, ReadOnlyWebSocket, WebSocketSession
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import PROTOCOL
from forestay.protocol.v1.wire import V1Wire

log = structlog.get_logger(__name__)

TOKEN_PROTOCOL: Final = "base64url.bearer.forestay."
"""How a browser passes its token: a subprotocol of this prefix and the token in unpadded base64url.

It is offered beside the real subprotocol.
"""

_QUERY_NAMES = ("access_token", "token")


@dataclass(frozen=True, slots=True)
class WebSocketLimits:
    """What a WebSocket connection may use."""

    query_token: bool
    """Whether a token in the URL is accepted."""
    message_bytes: int
    """The largest message that a client may send."""
    send_buffer: int
    """Bytes that wait to be sent. With more than that, the client's messages are not read."""
    close_timeout: float
    """Seconds that a client has to answer a close frame."""


class Handshake:
    """Serves `GET /ws`: admits the caller, upgrades the request, and carries the connection until its end."""

    def __init__(
        self,
        admission: Admission,
        limits: WebSocketLimits,
        dispatcher: Dispatcher,
        sessions: Sessions,
        wire: V1Wire,
        observer: Observer | None,
    ) -> None:
        self._admission = admission
        self._limits = limits
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._wire = wire
        self._observer = observer
        self._refused = LogThrottle("handshakes refused")

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one upgrade request. Returns when the connection has ended, or at once after a refusal."""
        started_at = asyncio.get_running_loop().time()
        try:
            _check_form(request)
            protocol, token = _offered(request, query_token=self._limits.query_token)
            identity = await self._admission.admit(request, token)
        except Refused as refused:
            self._report(str(refused.status), request, started_at)
            log.debug(
                "handshake refused",
                status=refused.status,
                code=refused.refusal.code,
                reason=str(refused),
                trace_id=trace_id(request),
            )
            self._refused.count(f"{refused.status} {refused.refusal.code}")
            response = problem(refused.refusal, refused.status)
            response.headers["Sec-WebSocket-Version"] = "13"
            response.force_close()
            return response
        return await self._upgrade(request, started_at, identity, protocol)

    async def _upgrade(
        self, request: web.BaseRequest, started_at: float, identity: Identity, protocol: str | None
    ) -> web.StreamResponse:
        ws = ReadOnlyWebSocket(
            autoclose=False,
            autoping=False,
            compress=False,
            # aiohttp refuses a message of this size, and not only a larger one.
            max_msg_size=self._limits.message_bytes + 1,
        )
        if protocol is not None:
            # We choose the subprotocol: aiohttp would read only the first of several header lines.
            ws.headers["Sec-WebSocket-Protocol"] = protocol
        writer = await ws.prepare(request)
        transport = request.transport
        if transport is None:  # The connection broke during the upgrade.
            self._report("lost", request, started_at)
            return ws
        transport.set_write_buffer_limits(self._limits.send_buffer, self._limits.send_buffer // 2)
        self._report("ok", request, started_at)
        socket = ClientSocket(transport, self._wire, self._limits.close_timeout)
        connection: Connection = await self._sessions.welcome(identity, socket)
        try:
            await writer.write(self._sessions.first_words(connection))
        except ConnectionError:
            pass  # The connection broke during the upgrade. The first read reports it.
        if connection.ended is not None:
            socket.close(connection.ended)
        self._admission.opened()
        try:
            await WebSocketSession(self._dispatcher, self._sessions, connection, socket).run(ws, writer)
        finally:
            self._admission.closed()
        return ws

    def _report(self, outcome: str, request: web.BaseRequest, started_at: float) -> None:
        if self._observer is not None:
            self._observer.handshake(outcome, started_at, request_trace(request))


def _check_form(request: web.BaseRequest) -> None:
    """Raises Refused unless this is a WebSocket upgrade of version 13 (RFC 6455 §4.2.1)."""
    headers = request.headers
    wrong = None
    if request.method != "GET" or request.version < (1, 1):
        wrong = "a WebSocket handshake is a GET request of HTTP/1.1; use a WebSocket client"
    elif headers.get("Upgrade", "").strip().lower() != "websocket":
        wrong = "not a WebSocket request: the header 'Upgrade: websocket' is missing; use a WebSocket client"
    elif "upgrade" not in [part.strip() for part in headers.get("Connection", "").lower().split(",")]:
        wrong = "not a WebSocket request: the header 'Connection: Upgrade' is missing; a proxy may have removed it"
    elif headers.get("Sec-WebSocket-Version") != "13":
        wrong = "the WebSocket version is not supported; send 'Sec-WebSocket-Version: 13'"
    elif not _is_key(headers.get("Sec-WebSocket-Key", "")):
        wrong = "'Sec-WebSocket-Key' is missing or malformed; send 16 random bytes in base64"
    elif request.body_exists:
        wrong = "the request has a body; send the WebSocket handshake without one"
    if wrong is not None:
        raise Refused(400, Refusal(ErrorCode.BAD_MESSAGE, wrong))


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _offered(request: web.BaseRequest, *, query_token: bool) -> tuple[str | None, str | None]:
    """The subprotocol to answer with and the caller's token, each None where the request has none. Raises Refused."""
    lines = request.headers.getall("Sec-WebSocket-Protocol", [])
    offered = [part for line in lines for part in (piece.strip() for piece in line.split(",")) if part]
    tokens = {_from_base64url(part[len(TOKEN_PROTOCOL) :]) for part in offered if part.startswith(TOKEN_PROTOCOL)}
    if offered and PROTOCOL not in offered:
        message = f"none of the offered subprotocols is supported; offer {PROTOCOL}, or none"
        raise Refused(400, Refusal(ErrorCode.BAD_MESSAGE, message))
    for line in request.headers.getall("Authorization", []):
        scheme, _, credentials = line.partition(" ")
        if scheme.lower() == "bearer":
            tokens.add(credentials.strip())
    if query_token:
        tokens |= {value for name in _QUERY_NAMES for value in request.rel_url.query.getall(name, [])}
    if len(tokens) > 1:
        raise Refused(400, Refusal(ErrorCode.BAD_TOKEN, "the request has two different tokens; send one"))
    return (PROTOCOL if offered else None), next(iter(tokens), None)


def _from_base64url(text: str) -> str:
    """The token in `text`. Where `text` is not base64url: the empty string, which is no valid token."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
