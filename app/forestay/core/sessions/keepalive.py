"""Who is still there: a ping now and then, a deadline for any sign of life, and the end of a token's time.

One timer serves all connections: each stands in a heap at the moment when it must be looked at next.
"""

from asyncio import TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from forestay.core.fanout.connection import Connection
from forestay.core.ports.runtime import Runtime
from forestay.protocol.codes import ENDINGS, CloseCode, Ending
from forestay.protocol.v1.encoder import PING

# A loop that was stalled for this long has not read what clients sent meanwhile: nobody is judged for its silence.
_STALL = 1.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How often clients are pinged and how long they may take to answer, both in seconds."""

    ping_interval: float
    pong_timeout: float


class _Look:
    """The next look at one connection; emptied when the connection is gone."""

    __slots__ = ("at", "connection")

    def __init__(self, at: float, connection: Connection) -> None:
        self.at = at
        self.connection: Connection | None = connection

    def __lt__(self, other: "_Look") -> bool:
        return self.at < other.at


class Keepalive:
    def __init__(
        self,
        runtime: Runtime,
        patience: Patience,
        end: Callable[[Connection, Ending], None],
        aged: Callable[[Connection], None],
    ) -> None:
        """`aged` is called once for a connection whose `leave_at` has come."""
        self._loop = runtime.loop
        self._clock = runtime.clock
        self._patience = patience
        self._end = end
        self._aged = aged
        self._looks: list[_Look] = []
        self._by_connection: dict[Connection, _Look] = {}
        self._timer: TimerHandle | None = None

    def watch(self, connection: Connection) -> None:
        """Look after `connection` from now on; again after its token was renewed."""
        self.forget(connection)
        now = self._loop.time()
        last_ping = connection.pinged_at
        ping_at = now + self._patience.ping_interval if last_ping is None else last_ping + self._patience.pong_timeout
        self._look(connection, self._not_too_late(connection, now, ping_at))

    def forget(self, connection: Connection) -> None:
        look = self._by_connection.pop(connection, None)
        if look is not None:
            look.connection = None

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, connection: Connection, at: float) -> None:
        look = self._by_connection[connection] = _Look(at, connection)
        heappush(self._looks, look)
        if self._timer is None or at < self._timer.when():
            self._wake(at)

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._run)

    def _run(self) -> None:
        now = self._loop.time()
        self._timer = None
        while self._looks and self._looks[0].at <= now:
            look = heappop(self._looks)
            connection = look.connection
            if connection is not None:
                del self._by_connection[connection]
                following = self._examine(connection, now, now - look.at)
                if following is not None:
                    self._by_connection[connection] = again = _Look(following, connection)
                    heappush(self._looks, again)
        while self._looks and self._looks[0].connection is None:
            heappop(self._looks)
        if self._looks:
            self._wake(self._looks[0].at)

    def _examine(self, connection: Connection, now: float, late: float) -> float | None:
        """Do what is due for `connection`; when to look again, or None if it has ended."""
        if connection.identity.expires_at <= self._clock():
            self._end(connection, ENDINGS[CloseCode.TOKEN_EXPIRED])
            return None
        if connection.leave_at is not None and connection.leave_at <= now:
            connection.leave_at = None
            self._aged(connection)
        pinged_at = connection.pinged_at
        if pinged_at is None:
            if not connection.socket.closed():
                connection.socket.write(PING)
            connection.pinged_at = now
            following = now + self._patience.pong_timeout
        elif connection.heard_at >= pinged_at:
            connection.pinged_at = None
            following = max(now, pinged_at + self._patience.ping_interval)
        elif late > _STALL:
            # What it sent meanwhile lies unread: it is judged at the next look.
            following = now + self._patience.pong_timeout
        elif now - pinged_at < self._patience.pong_timeout:
            following = pinged_at + self._patience.pong_timeout
        else:
            self._end(connection, ENDINGS[CloseCode.NO_PONG])
            return None
        return self._not_too_late(connection, now, following)

    def _not_too_late(self, connection: Connection, now: float, at: float) -> float:
        """`at`, or before it the end of its token's time or of its stay."""
        expiry = now + max(0.0, connection.identity.expires_at - self._clock())
        return min(at, expiry) if connection.leave_at is None else min(at, expiry, connection.leave_at)
