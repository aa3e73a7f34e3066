"""Carries a session by a WebSocket: from its beginning, or after an upgrade from polling."""

import asyncio
from collections.abc import Awaitable
from enum import Enum
from typing import Final

import structlog

from forestay.edge.engineio.polling import Polling
from forestay.edge.engineio.session import EngineSession
from forestay.edge.websocket.outlet import Outlet
from forestay.edge.websocket.websocket import ClientSocket
from forestay.protocol.codes import ENDINGS, CloseCode, Ending
from forestay.protocol.engineio.packets import PROBE, PROBED, UPGRADE
from forestay.protocol.websocket.reading import Kind
from forestay.protocol.websocket.writing import pong_frame

log = structlog.get_logger(__name__)

UPGRADE_WITHIN: Final = 10.0
"""Seconds that a client has to upgrade, from the opening of its WebSocket."""

# Seconds between two noops. A client completes its pending poll before it upgrades, and may have begun another one.
_NOOP_INTERVAL: Final = 0.1

_NO_UPGRADE: Final = Ending(CloseCode.POLICY_VIOLATION, "the session did not move to this WebSocket")
NOT_POLLING: Final = Ending(CloseCode.POLICY_VIOLATION, "the session has a WebSocket already, or is about to get one")
"""Why a second WebSocket of a session is closed."""

_NAME: Final = "Engine.IO"


class EngineSocket(ClientSocket):
    """A WebSocket that carries a session, or is about to."""

    __slots__ = ()

    @property
    def outlet(self) -> Outlet:
        """See Carrier.outlet."""
        return self

    def end(self, ending: Ending, *, cut: bool, keep: bool) -> None:
        """See Carrier.end. The session is gone when its WebSocket is."""
        if cut:
            self.cut()
        else:
            self.close(ending)

    def left(self) -> None:
        """See Carrier.left."""
        self.close(ENDINGS[CloseCode.NORMAL])


class EngineClient:
    """The Client of a WebSocket whose session began on it."""

    __slots__ = ("_session", "_socket")

    def __init__(self, session: EngineSession, socket: EngineSocket) -> None:
        self._session = session
        self._socket = socket

    @property
    def name(self) -> str:
        """See Client.name. The id of the session is a secret."""
        return _NAME

    @property
    def ended(self) -> bool:
        """See Client.ended."""
        return self._session.ending is not None

    def text(self, data: bytes) -> Awaitable[None] | None:
        """See Client.text."""
        return self._session.take(data.decode())

    def binary(self, data: bytes) -> Awaitable[None] | None:
        """See Client.binary."""
        return self._session.take_binary(data)

    def ping(self, data: bytes) -> None:
        """See Client.ping. A frame of WebSocket is no packet, and no sign of life."""
        self._session.count_other()
        if not self._socket.closed():
            self._socket.write(pong_frame(data))

    def pong(self) -> None:
        """See Client.pong."""
        self._session.count_other()

    def end(self, ending: Ending) -> None:
        """See Client.end."""
        if ending.by_client:
            self._session.end_by_client(ending)
        else:
            self._session.fault(ending, ending.reason)

    def lost(self, ending: Ending) -> None:
        """See Client.lost."""
        self._session.gone(ending)


class _Move(Enum):
    """How far a session has come from polling to its new WebSocket."""

    ASKED = "the WebSocket is open; the next packet is the probe"
    PROBED = "the probe is answered; the next packet is the upgrade"
    MOVED = "the WebSocket carries the session"
    FAILED = "the WebSocket is closed, and the session goes on without it"


class MovingClient(EngineClient):
    """The Client of a WebSocket to which a polling session moves.

    Until the client has sent the upgrade packet, the session goes on polling, and nothing here ends it. What follows it
    is taken after the packets of a POST that is still under way.
    """

    __slots__ = ("_polling", "_state", "_timer", "_until")

    def __init__(self, session: EngineSession, polling: Polling, socket: EngineSocket) -> None:
        super().__init__(session, socket)
        loop = asyncio.get_running_loop()
        self._polling = polling
        self._state = _Move.ASKED
        self._until = loop.time() + UPGRADE_WITHIN
        self._timer: asyncio.TimerHandle | None = loop.call_later(_NOOP_INTERVAL, self._look)
        session.upgrading = True

    @property
    def ended(self) -> bool:
        """See Client.ended."""
        return self._state is _Move.FAILED or (self._state is _Move.MOVED and super().ended)

    def text(self, data: bytes) -> Awaitable[None] | None:
        """See Client.text."""
        if self._state is _Move.MOVED:
            return self._after_post(data, Kind.TEXT) if self._polling.posting else super().text(data)
        if self._state is not _Move.FAILED:
            self._upgrade(data.decode())
        return None

    def binary(self, data: bytes) -> Awaitable[None] | None:
        """See Client.binary."""
        if self._state is _Move.MOVED:
            return self._after_post(data, Kind.BINARY) if self._polling.posting else super().binary(data)
        self.end(_NO_UPGRADE)
        return None

    def ping(self, data: bytes) -> None:
        """See Client.ping."""
        if self._state is _Move.MOVED:
            super().ping(data)
        else:
            self.end(_NO_UPGRADE)

    def end(self, ending: Ending) -> None:
        """See Client.end."""
        if self._state is _Move.MOVED:
            super().end(ending)
        elif self._state is not _Move.FAILED:
            self._state = _Move.FAILED
            self._stop()
            self._socket.close(ending)

    def lost(self, ending: Ending) -> None:
        """See Client.lost."""
        self._stop()
        if self._state is _Move.MOVED:
            super().lost(ending)

    async def _after_post(self, data: bytes, kind: Kind) -> None:
        await self._polling.posted()
        work = super().text(data) if kind is Kind.TEXT else super().binary(data)
        if work is not None:
            await work

    def _upgrade(self, packet: str) -> None:
        if packet == PROBE:
            self._state = _Move.PROBED
            self._socket.write(PROBED)
            self._polling.noop()
        elif packet == UPGRADE and self._state is _Move.PROBED and self._session.ending is None:
            self._stop()
            self._state = _Move.MOVED
            self._session.carrier = self._socket
            rest = self._polling.leave()
            if rest:
                self._socket.write(rest)
        else:
            log.debug("an upgrade to a WebSocket failed", reason="a packet is neither a probe nor an upgrade")
            self.end(_NO_UPGRADE)

    def _look(self) -> None:
        """End the poll that keeps the client from upgrading, or the WebSocket whose time is over."""
        loop = asyncio.get_running_loop()
        if self._session.ending is not None or loop.time() >= self._until:
            self.end(self._session.ending or _NO_UPGRADE)
            return
        if self._state is _Move.PROBED:
            self._polling.noop()
        self._timer = loop.call_later(_NOOP_INTERVAL, self._look)

    def _stop(self) -> None:
        # Only once: after that, another WebSocket of the session may be upgrading.
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._session.upgrading = False
