"""Who may upgrade, decided before the upgrade and in one order: form, room for more, origin, token.

400 not a WebSocket request; 503 draining or full; 403 origin; 401 token. Nothing costly is done for a caller whom a
cheaper question would refuse.
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
from forestay.core.ports.verifier import Verifier
from forestay.core.rules.access import Identity
from forestay.core.rules.lifecycle import Lifecycle
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.sessions import Sessions
from forestay.edge.log_throttle import LogThrottle
from forestay.edge.origins import Origins
from forestay.edge.problems import problem
from forestay.edge.request_trace import request_trace, trace_id
from forestay.edge.websocket import ClientSocket, Conversation, Upgraded
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import PROTOCOL

log = structlog.get_logger(__name__)

TOKEN_PROTOCOL: Final = "base64url.bearer.forestay."
"""How a browser passes its token: this and the token in unpadded base64url, offered beside the real subprotocol."""

_QUERY_NAMES = ("access_token", "token")
# Long enough that the pods which still have room fill first.
_COME_BACK = 3.0


@dataclass(frozen=True, slots=True)
class Door:
    """How wide the way in is."""

    max_connections: int
    max_handshakes: int
    """Upgrades that may be under way at once."""
    query_token: bool
    """Whether a token in the URL is accepted."""
    send_buffer: int
    """Bytes; answers beyond it stop the reading."""
    close_timeout: float
    """Seconds."""


class Refused(Exception):
    """A caller who does not get in, with the HTTP status to say so."""

    def __init__(self, status: int, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.status = status
        self.refusal = refusal


class Handshake:
    """`GET /ws`: from a request to a conversation, or a refusal."""

    def __init__(
        self,
        door: Door,
        origins: Origins,
        verifier: Verifier,
        lifecycle: Lifecycle,
        dispatcher: Dispatcher,
        observer: Observer | None,
    ) -> None:
        self._door = door
        self._origins = origins
        self._verifier = verifier
        self._lifecycle = lifecycle
        self._dispatcher = dispatcher
        self._sessions: Sessions = dispatcher.sessions
        self._observer = observer
        self._refused = LogThrottle("handshakes refused")
        self._under_way = 0
        self._conversations = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one upgrade request; returns when the conversation that follows is over."""
        self._under_way += 1
        since = asyncio.get_running_loop().time()
        try:
            try:
                identity, protocol = await self._admit(request)
            finally:
                self._under_way -= 1
        except Refused as refused:
            self._report(str(refused.status), request, since)
            log.debug(
                "handshake refused",
                status=refused.status,
                code=refused.refusal.code,
                reason=str(refused),
                trace_id=trace_id(request),
            )
            self._refused.note(f"{refused.status} {refused.refusal.code}")
            response = problem(refused.refusal, refused.status)
            response.headers["Sec-WebSocket-Version"] = "13"
            response.force_close()
            return response
        return await self._converse(request, since, identity, protocol)

    @property
    def conversations(self) -> int:
        """How many there are, those included that are only waiting for the answer to a close frame."""
        return self._conversations

    async def conversations_over(self, patience: float) -> None:
        """Wait until every conversation has ended, at most `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self._quiet.wait()
        except TimeoutError:
            pass

    async def _admit(self, request: web.BaseRequest) -> tuple[Identity, str | None]:
        _check_form(request)
        protocol, token = _offered(request, query_token=self._door.query_token)
        self._check_room_for_more()
        if not self._origins.allow(request.headers.getall("Origin", []), request.headers.get("Host", "")):
            raise Refused(403, Refusal(ErrorCode.FORBIDDEN, "pages of this origin may not connect"))
        if token is None:
            raise Refused(401, Refusal(ErrorCode.BAD_TOKEN, "no token: send it as 'Authorization: Bearer'"))
        try:
            identity = await self._verifier.verify(token)
        except Refusal as refusal:
            raise Refused(503 if refusal.code is ErrorCode.UNAVAILABLE else 401, refusal) from None
        # Verifying may have waited for keys; the pod may be full or on its way out by now.
        self._check_room_for_more()
        return identity, protocol

    def _check_room_for_more(self) -> None:
        if not self._lifecycle.open:
            raise _later("this pod is not taking connections")
        if len(self._sessions.hub) >= self._door.max_connections:
            raise _later("this pod is full")
        if self._under_way > self._door.max_handshakes:
            raise _later("too many handshakes at once")

    async def _converse(
        self, request: web.BaseRequest, since: float, identity: Identity, protocol: str | None
    ) -> web.StreamResponse:
        ws = Upgraded(
            autoclose=False,
            autoping=False,
            compress=False,
            # aiohttp refuses what has this size already.
            max_msg_size=self._sessions.terms.message_bytes + 1,
        )
        if protocol is not None:
            # Chosen by us: aiohttp would look at the first of several header lines only.
            ws.headers["Sec-WebSocket-Protocol"] = protocol
        writer = await ws.prepare(request)
        transport = request.transport
        if transport is None:  # It broke during the upgrade.
            self._report("lost", request, since)
            return ws
        transport.set_write_buffer_limits(self._door.send_buffer, self._door.send_buffer // 2)
        self._report("ok", request, since)
        socket = ClientSocket(transport, self._door.close_timeout)
        connection: Connection = await self._sessions.welcome(identity, socket)
        try:
            await writer.write(self._sessions.first_words(connection))
        except ConnectionError:
            pass  # It broke during the upgrade, which the reader notices next.
        if connection.ended is not None:
            socket.close(connection.ended)
        self._conversations += 1
        self._quiet.clear()
        try:
            await Conversation(self._dispatcher, self._sessions, connection, socket).run(ws, writer)
        finally:
            self._conversations -= 1
            if not self._conversations:
                self._quiet.set()
        return ws

    def _report(self, outcome: str, request: web.BaseRequest, since: float) -> None:
        if self._observer is not None:
            self._observer.handshake(outcome, since, request_trace(request))


def _check_form(request: web.BaseRequest) -> None:
    """Raises Refused unless this is a WebSocket upgrade of version 13 (RFC 6455 §4.2.1)."""
    headers = request.headers
    wrong = None
    if request.method != "GET" or request.version < (1, 1):
        wrong = "a WebSocket handshake is a GET of HTTP/1.1"
    elif headers.get("Upgrade", "").strip().lower() != "websocket":
        wrong = "not a WebSocket request: 'Upgrade: websocket' is missing"
    elif "upgrade" not in [part.strip() for part in headers.get("Connection", "").lower().split(",")]:
        wrong = "not a WebSocket request: 'Connection: Upgrade' is missing"
    elif headers.get("Sec-WebSocket-Version") != "13":
        wrong = "this server speaks WebSocket version 13"
    elif not _is_key(headers.get("Sec-WebSocket-Key", "")):
        wrong = "'Sec-WebSocket-Key' must be 16 bytes in base64"
    elif request.body_exists:
        wrong = "a WebSocket handshake has no body"
    if wrong is not None:
        raise Refused(400, Refusal(ErrorCode.BAD_MESSAGE, wrong))


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _offered(request: web.BaseRequest, *, query_token: bool) -> tuple[str | None, str | None]:
    """The subprotocol to answer with, if any was offered, and the caller's token. Raises Refused."""
    lines = request.headers.getall("Sec-WebSocket-Protocol", [])
    offered = [part for line in lines for part in (piece.strip() for piece in line.split(",")) if part]
    tokens = {_from_base64url(part[len(TOKEN_PROTOCOL) :]) for part in offered if part.startswith(TOKEN_PROTOCOL)}
    if offered and PROTOCOL not in offered:
        raise Refused(400, Refusal(ErrorCode.BAD_MESSAGE, f"offer the subprotocol {PROTOCOL}, or none"))
    for line in request.headers.getall("Authorization", []):
        scheme, _, credentials = line.partition(" ")
        if scheme.lower() == "bearer":
            tokens.add(credentials.strip())
    if query_token:
        tokens |= {value for name in _QUERY_NAMES for value in request.rel_url.query.getall(name, [])}
    if len(tokens) > 1:
        raise Refused(400, Refusal(ErrorCode.BAD_TOKEN, "two different tokens; send one"))
    return (PROTOCOL if offered else None), next(iter(tokens), None)


def _from_base64url(text: str) -> str:
    """The token in `text`; the empty string, which is no token, where it is not base64url."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def _later(why: str) -> Refused:
    return Refused(503, Refusal(ErrorCode.UNAVAILABLE, f"{why}; try again later", retry_after=_COME_BACK))
