"""Upgrades HTTP requests to WebSocket connections, or refuses them.

The form of the request is checked first (400), then admission decides. Nothing costly is done before that.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

from aiohttp import web

from forestay.core.fanout.connection import Connection
from forestay.core.ports.observer import Observer
from forestay.core.ports.verifier import TicketUse
from forestay.core.rules.access import Identity
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.sessions import Sessions
from forestay.edge.handshake.admission import Admission, Attempt
from forestay.edge.handshake.connect_hook import Entry
from forestay.edge.handshake.connect_request import (
    check_request,
    check_upgrade,
    compression,
    is_question,
    offered,
    present,
)
from forestay.edge.handshake.cors import preflight, readable
from forestay.edge.handshake.lockstep import Lockstep
from forestay.edge.handshake.outcomes import Outcomes
from forestay.edge.handshake.refused import Refused
from forestay.edge.kept_errors import forget_frames
from forestay.edge.problems import problem
from forestay.edge.websocket.native import NativeClient, NativeSocket
from forestay.edge.websocket.receiver import Receiver
from forestay.edge.websocket.upgrade import UPGRADED, Upgraded, upgrade
from forestay.edge.websocket.websocket import SocketLimits
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.deflate.agreement import Agreement
from forestay.protocol.v1.compressed import V1Wires

_UPGRADE_REQUIRED: Final = "this is the address of a WebSocket, and the request may connect; use a WebSocket client"


@dataclass(frozen=True, slots=True)
class HandshakeLimits:
    """What a request may have, and what its connection may use."""

    query_token: bool
    """Whether a token in the URL is accepted."""
    socket: SocketLimits


class Handshake:
    """Serves `GET /ws`: admits the caller, upgrades the request, and starts the connection.

    A plain GET without an upgrade gets the same checks in the same order, and 426 where all hold. It takes no place.
    """

    def __init__(
        self,
        admission: Admission,
        limits: HandshakeLimits,
        dispatcher: Dispatcher,
        sessions: Sessions,
        wires: V1Wires,
        observer: Observer | None,
    ) -> None:
        self._admission = admission
        self._limits = limits
        self._plain = limits.socket
        self._compressed: SocketLimits | None = None
        """Of a client with which compression was agreed on; None where it is off."""
        if wires.compression is not None:
            self._compressed = replace(self._plain, inflater=wires.compression.inflater)
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._wires = wires
        self._outcomes = Outcomes("handshake refused", "handshakes refused", admission, observer)
        self._lockstep = Lockstep()

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Returns when the connection has started, or is refused."""
        if request.method == "OPTIONS":
            return preflight(request)
        if is_question(request):
            return await self._answer(request)
        started_at = perf_counter()
        known = getattr(request.protocol, "refused", None)
        refused = known if isinstance(known, Refused) else await self._connect(request, started_at)
        if refused is None:
            return UPGRADED
        self._outcomes.refused(request, refused, started_at)
        response = problem(refused.refusal, refused.status)
        response.headers["Sec-WebSocket-Version"] = "13"
        readable(request, response)
        return response

    def upgrade(self, request: web.BaseRequest) -> Awaitable[Refused | None]:
        """Upgrade a request for a WebSocket. Returns why it may not connect, for `serve` to answer; else None.

        What it returns is awaited in a task of its own. Those that are called in one turn go on in lockstep.
        """
        self._lockstep.enter()
        return self._upgrade(request)

    async def _upgrade(self, request: web.BaseRequest) -> Refused | None:
        try:
            refused = await self._connect(request, perf_counter())
        finally:
            self._lockstep.leave()
        if refused is not None:
            forget_frames(refused)
        return refused

    async def _connect(self, request: web.BaseRequest, started_at: float) -> Refused | None:
        try:
            check_request(request)
            check_upgrade(request)
            protocol, token = offered(request, query_token=self._limits.query_token)
            agreement = None if self._compressed is None else compression(request)
            attempt = self._admission.begin()
            try:
                self._admission.check_origin(request)
                await self._lockstep.step()
                identity = await attempt.admit(present(request, token))
                entry = await self._admission.ask(request, identity, self._wires.plain.name)
                await self._lockstep.step()
                upgraded = self._upgraded(request, started_at, protocol, agreement)
                await self._start(upgraded, attempt, identity, agreement, entry)
            except BaseException:
                attempt.leave()
                raise
        except Refused as refused:
            return refused
        return None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Tell a caller that does not upgrade whether a handshake would be refused, and why."""
        try:
            check_request(request)
            _, token = offered(request, query_token=self._limits.query_token)
            attempt = self._admission.begin()
            try:
                self._admission.check_origin(request)
                identity = await attempt.identify(present(request, token, TicketUse.LOOK))
                await self._admission.ask(request, identity, self._wires.plain.name, only=True)
            finally:
                attempt.leave()
        except Refused as refused:
            response = problem(refused.refusal, refused.status)
        else:
            response = problem(Refusal(ErrorCode.BAD_MESSAGE, _UPGRADE_REQUIRED), 426)
            response.headers["Upgrade"] = "websocket"
        readable(request, response)
        return response

    def _upgraded(
        self, request: web.BaseRequest, started_at: float, protocol: str | None, agreement: Agreement | None
    ) -> Upgraded:
        """Upgrade an admitted request. `protocol`: the one to answer with. Raises ConnectionError."""
        try:
            upgraded = upgrade(request, protocol, None if agreement is None else agreement.answer)
        except ConnectionError:
            self._outcomes.report("lost", request, started_at)
            raise
        self._outcomes.report("ok", request, started_at)
        return upgraded

    async def _start(
        self, upgraded: Upgraded, attempt: Attempt, identity: Identity, agreement: Agreement | None, entry: Entry
    ) -> None:
        """Start an admitted connection, which has its place until it is lost."""
        wire = self._wires.agreed(agreement)
        limits = self._plain if agreement is None or self._compressed is None else self._compressed
        socket = NativeSocket(upgraded.connection.transport, wire, limits.close_timeout)
        receiver = Receiver(upgraded.connection, socket, limits)
        try:
            connection: Connection = self._sessions.prepare(identity, socket, id=entry.connection)
            welcome = self._sessions.welcome(connection)
            # The last step, because others may write to the connection, or end it, once it is registered.
            await self._lockstep.step()
            await self._sessions.register(connection)
        except BaseException:
            socket.abort()
            raise
        self._sessions.greet(connection, welcome)
        socket.write(upgraded.answer + self._sessions.first_words(connection))
        if connection.ended is not None:
            socket.close(connection.ended)
        attempt.end_handshake()
        if not self._admission.open:
            # The drain began while the registry was asked, and may have ended all others already.
            connection.end(ENDINGS[CloseCode.GOING_AWAY])
        if self._admission.hook is not None:
            self._admission.hook.enter(connection, entry)
        receiver.begin(NativeClient(self._dispatcher, self._sessions, connection, wire, attempt))
