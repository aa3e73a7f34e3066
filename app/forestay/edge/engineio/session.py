"""One Engine.IO session: its packets in order, over whichever transport it has, and one end."""

from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from forestay.core.ports.verifier import Ticket
from forestay.core.rules.access import Identity
from forestay.edge.engineio.application import Listener
from forestay.edge.engineio.carrier import NO_CARRIER, NO_LISTENER, Carrier
from forestay.edge.handshake.admission import Attempt
from forestay.edge.websocket.outlet import Outlet
from forestay.protocol.codes import ENDINGS, CloseCode, Ending
from forestay.protocol.engineio.packets import CLOSE, MESSAGE, PING, PING_PACKET, PONG
from forestay.protocol.websocket.writing import close_frame

log = structlog.get_logger(__name__)

# Packets that are no messages. A client sends one for each ping, and a few around an upgrade.
_MOST_OTHERS: Final = 64

_MALFORMED: Final = Ending(CloseCode.PROTOCOL_ERROR, "a packet is malformed")
_LEFT: Final = Ending(CloseCode.NORMAL, "bye", by_client=True)


class Keeper(Protocol):
    """What keeps all sessions of this pod."""

    loop: AbstractEventLoop

    def ended(self, session: "EngineSession") -> None:
        """`session` has ended: it is not pinged any more, and has a time to be gone."""

    def served(self, session: "EngineSession", *, served: bool) -> None:
        """See Session.served."""

    def forget(self, session: "EngineSession") -> None:
        """`session` is gone."""


class EngineSession:
    """The Session that applications use. Its carrier may change once, from polling to a WebSocket.

    state      ending   stopping   carrier   what comes next
    open       None     False      one       packets
    stopping   None     True       one       the last words of its listener, and its end in the same step
    ended      set      either     one       the client takes the end, or the close timeout is over
    gone       set      either     none      nothing
    """

    __slots__ = (
        "_attempt",
        "_keeper",
        "_listener",
        "_others",
        "broken",
        "carrier",
        "ending",
        "heard_at",
        "ping_at",
        "pinged_at",
        "serve_by",
        "sid",
        "stopping",
        "upgrading",
    )

    def __init__(self, keeper: Keeper, sid: str, attempt: Attempt) -> None:
        """`sid`: a secret, which nobody can guess. It is never logged."""
        self._keeper = keeper
        self._attempt = attempt
        self._listener: Listener = NO_LISTENER
        self._others = 0
        """Packets since the last ping that are no messages."""
        self.sid = sid
        self.carrier: Carrier = NO_CARRIER
        self.broken = ""
        """The rule that the client broke, as its answer and the log say it."""
        self.ending: Ending | None = None
        self.heard_at = keeper.loop.time()
        """Loop time of the client's last packet."""
        self.ping_at = self.heard_at
        """Loop time of the next ping. Written by the keeper."""
        self.pinged_at: float | None = None
        """Loop time of the first ping that is not answered yet. Written by the keeper."""
        self.serve_by: float | None = None
        """Loop time by which a namespace must be connected. Written by the keeper."""
        self.stopping = False
        """Whether the gateway ends it on its own account: what waits for the client then is dropped."""
        self.upgrading = False
        """Whether a WebSocket asks to become its carrier. Written by MovingClient."""

    def start(self, carrier: Carrier, listener: Callable[["EngineSession"], Listener]) -> None:
        """Begin on `carrier`. `listener`: makes what listens to this session."""
        self.carrier = carrier
        self._listener = listener(self)

    def write(self, data: bytes, /) -> None:
        """See Session.write."""
        self.carrier.write(data)

    @property
    def outlet(self) -> Outlet | None:
        """See Session.outlet."""
        return self.carrier.outlet

    def buffered(self) -> int:
        """See Session.buffered."""
        return self.carrier.buffered()

    def closed(self) -> bool:
        """See Session.closed."""
        return self.ending is not None or self.carrier.closed()

    def hold_reading(self) -> None:
        """See Session.hold_reading."""
        self.carrier.hold_reading()

    async def admit(self, token: str | Ticket) -> Identity:
        """See Session.admit."""
        return await self._attempt.admit(token)

    def served(self, *, served: bool) -> None:
        """See Session.served."""
        if self.ending is None:
            if served:
                self._attempt.end_handshake()
            self._keeper.served(self, served=served)

    def end(self, ending: Ending, *, cut: bool = False) -> None:
        """See Session.end."""
        if self.ending is None:
            self.ending = ending
            self._keeper.ended(self)
            self.carrier.end(ending, cut=cut, keep=not self.stopping)

    def stop(self, ending: Ending, *, at_once: bool = False) -> None:
        """End the session on the gateway's own account, after the last words of its listener.

        `at_once`: a WebSocket is closed without waiting for the client, who may be a stranger that never answers.
        """
        if self.ending is None and not self.stopping:
            self.stopping = True
            self._listener.end(ending)
            if at_once and not self.closed():
                self.carrier.write(close_frame(ending))
            self.end(ending, cut=at_once)

    def end_by_client(self, ending: Ending) -> None:
        """The client has closed the transport: end the session, after the last words of its listener."""
        if self.ending is None and not self.stopping:
            self._listener.end(ending)
            self.end(ending)

    def _leave(self) -> None:
        """The client has said that it goes."""
        self._listener.end(_LEFT)
        self.ending = _LEFT
        self.carrier.left()
        self.gone(_LEFT)

    def fail(self, reason: str) -> None:
        """See Session.fail."""
        self.fault(_MALFORMED, reason)

    def fault(self, ending: Ending, reason: str) -> None:
        """End the session, because its client broke a rule."""
        if self.ending is None:
            log.debug("an Engine.IO session broke a rule and ends", reason=reason)
            self.broken = reason
            self.stop(ending)

    def gone(self, ending: Ending) -> None:
        """The session is over and its transport is gone: how the client or the network ended it."""
        if self.ending is None:
            self.ending = ending
        self._keeper.forget(self)
        self._attempt.leave()
        listener, self._listener = self._listener, NO_LISTENER
        # Not from within a call of the listener, which may have begun this.
        self._keeper.loop.call_soon(listener.lost, ending)
        # The carrier holds the session: without this the two would wait for the garbage collector.
        self.carrier = NO_CARRIER

    def ping(self) -> None:
        """Ask for a sign of life. A client that has not taken an earlier ping yet gets no other one."""
        self._others = 0
        if not self.carrier.closed() and not (self.pinged_at is not None and self.carrier.buffered()):
            self.carrier.write(PING_PACKET)

    def take(self, packet: str) -> Awaitable[None] | None:
        """Take a text packet. Returns what must be awaited before the next one is taken."""
        if self.ending is not None:
            return None
        self.heard_at = self._keeper.loop.time()
        kind = packet[:1]
        if kind == MESSAGE:
            return self._listener.text(packet[1:])
        if kind == CLOSE:
            self._leave()
        elif kind == PING:
            self.fail("a client sends no pings; the server does")
        elif kind == PONG or (kind and kind in "056"):
            self.count_other()
        else:
            self.fail("a packet has no known type")
        return None

    def take_binary(self, data: bytes) -> Awaitable[None] | None:
        """Take a binary message. Returns what must be awaited before the next packet is taken."""
        if self.ending is not None:
            return None
        self.heard_at = self._keeper.loop.time()
        return self._listener.binary(data)

    def count_other(self) -> None:
        """Count a packet or a frame that is no message. No rate of messages limits them."""
        self._others += 1
        if self._others > _MOST_OTHERS:
            self.fault(ENDINGS[CloseCode.RATE_LIMITED], "too many packets that are no messages")
