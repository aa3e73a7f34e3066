"""Limits what all strangers of a port may hold together: sockets, and bytes of requests.

A stranger is a connection that is not admitted. When strangers fill their share, the one that has been waiting longest
goes, and not the new one. An honest client sends its request at once: it is gone from here after one round trip. A
socket that only waits is older than that. If new ones were refused, a few silent sockets per second would keep all
others out.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Final, Protocol

from forestay.edge.log_throttle import LogThrottle

# Why strangers are sent away, as the log counts them. One that has sent no more than an equal share of the bytes is not
# sent away because of bytes.
HEAVY: Final = "unfinished requests with many bytes"
_SILENT: Final = "too slow"
_CROWDED: Final = "too many at once"
TOO_LARGE: Final = "too large"


@dataclass(frozen=True, slots=True)
class LobbyLimits:
    """What strangers may hold on one port."""

    strangers: int
    """Connections that are not admitted."""
    sockets: int
    """Open connections on this port, the admitted ones included."""
    head_bytes: int
    """Bytes that one stranger may send before it is admitted."""
    all_bytes: int
    """Bytes that all of them together may have sent."""
    head_timeout: float
    """Seconds from the connection to the end of the request's head."""
    answer_timeout: float
    """Seconds from there to the end of the answer, or to the admission."""


class Dismissible(Protocol):
    """A connection that can be ended while it waits."""

    def dismiss(self, *, late: bool) -> None:
        """End the connection. `late`: the time for the request is over, and the answer may say so."""


class Stranger(Dismissible, Protocol):
    """A connection that is not admitted."""

    received: int
    """Bytes that it has sent."""


class Lobby:
    """The connections of one port, from accept to close. Each is waiting, being answered, or admitted."""

    def __init__(self, port: str, limits: LobbyLimits) -> None:
        """`port`: its name in the log."""
        self._limits = limits
        self._share = limits.all_bytes // limits.strangers
        self._waiting: dict[Stranger, float] = {}
        """Those whose request is not complete, oldest first, with the time when they came."""
        self._answered: dict[Stranger, float] = {}
        """Those whose request is being answered, with the time when it was complete."""
        self._heavy: dict[Stranger, None] = {}
        """Those of the waiting ones that have sent more than an equal share."""
        self._idle: dict[Dismissible, None] = {}
        """Admitted connections that wait for their next request, the one that has waited longest first."""
        self._bytes = 0
        self._sockets = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._sent_away = LogThrottle(f"unfinished requests on the {port} port ended")

    @property
    def limits(self) -> LobbyLimits:
        """What strangers may hold here."""
        return self._limits

    @property
    def sockets(self) -> int:
        """The number of open connections."""
        return self._sockets

    @property
    def strangers(self) -> int:
        """The number of connections that are not admitted."""
        return len(self._waiting) + len(self._answered)

    @property
    def blocked(self) -> bool:
        """Whether the port is full, and no connection in it can go for a new one."""
        return self._full(self._sockets + 1) and not self._waiting and not self._idle

    def accepted(self) -> bool:
        """Count a new connection. Where the port is full, the oldest that waits goes for it. Whether one went."""
        self._sockets += 1
        # Its socket is closed in the next step of the loop. Until then it counts.
        return self._full(self._sockets) and self._dismiss_oldest()

    def _full(self, sockets: int) -> bool:
        return sockets > self._limits.sockets or self.strangers >= self._limits.strangers

    def closed(self, connection: Dismissible) -> None:
        """Stop counting a connection that was accepted."""
        self._idle.pop(connection, None)
        self.lost()

    def lost(self) -> None:
        """Stop counting a connection that was admitted and upgraded."""
        self._sockets -= 1

    def idle(self, connection: Dismissible) -> None:
        """An admitted connection waits for its next request. It goes where others need its socket."""
        self._idle[connection] = None

    def busy(self, connection: Dismissible) -> None:
        """An admitted connection is being served. It does not go for others."""
        self._idle.pop(connection, None)

    def enter(self, stranger: Stranger) -> None:
        """Let a new connection wait for the rest of its request."""
        self._waiting[stranger] = self._loop.time()
        if self._timer is None:
            self._set_timer()

    def add(self, stranger: Stranger, size: int) -> bool:
        """Count `size` bytes of a stranger. False if it has to go because of them."""
        self._bytes += size
        if stranger.received > self._share and stranger in self._waiting:
            self._heavy[stranger] = None
        while self._bytes > self._limits.all_bytes and self._heavy:
            heavy = next(iter(self._heavy))
            if heavy is stranger:
                return False
            self._send_away(heavy, HEAVY)
        return self._bytes <= self._limits.all_bytes

    def answering(self, stranger: Stranger) -> None:
        """The request of a stranger is complete."""
        del self._waiting[stranger]
        self._heavy.pop(stranger, None)
        self._answered[stranger] = self._loop.time()

    def leave(self, stranger: Stranger) -> None:
        """Forget a stranger that was admitted, or whose connection is closed. It may have left before."""
        if self._waiting.pop(stranger, None) is None and self._answered.pop(stranger, None) is None:
            return
        self._heavy.pop(stranger, None)
        self._bytes -= stranger.received

    def refuse(self, stranger: Stranger, reason: str) -> None:
        """A stranger is refused, and keeps nothing of what it sent. It stays until its connection is closed."""
        self._sent_away.count(reason)
        self._heavy.pop(stranger, None)
        self._bytes -= stranger.received
        stranger.received = 0

    def clear(self) -> None:
        """Send all strangers away, because the port closes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for stranger in (*self._waiting, *self._answered):
            self.leave(stranger)
            stranger.dismiss(late=False)

    def _dismiss_oldest(self) -> bool:
        for stranger in self._waiting:
            self._send_away(stranger, _CROWDED)
            return True
        for connection in self._idle:
            del self._idle[connection]
            connection.dismiss(late=False)
            return True
        return False

    def _send_away(self, stranger: Stranger, reason: str) -> None:
        self.leave(stranger)
        self._sent_away.count(reason)
        stranger.dismiss(late=reason is _SILENT)

    def _set_timer(self, seconds: float = math.inf) -> None:
        soon = min(seconds, self._limits.head_timeout, self._limits.answer_timeout)
        self._timer = self._loop.call_later(soon, self._end_late)

    def _end_late(self) -> None:
        """Send away those whose time is over. One timer serves all: the dicts are in the order of their times."""
        self._timer = None
        now = self._loop.time()
        rest: list[float] = []
        for strangers, timeout in (
            (self._waiting, self._limits.head_timeout),
            (self._answered, self._limits.answer_timeout),
        ):
            while strangers:
                stranger, since = next(iter(strangers.items()))
                if since + timeout > now:
                    rest.append(since + timeout - now)
                    break
                self._send_away(stranger, _SILENT)
        if rest:
            self._set_timer(min(rest))
