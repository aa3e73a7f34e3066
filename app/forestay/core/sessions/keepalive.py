"""Pings clients, ends those that do not answer, and acts when a token expires or a connection gets old.

One timer serves all connections. A heap orders them by the time of their next check.
"""

from asyncio import TimerHandle
from heapq import heappop, heappush
from typing import Final

from forestay.core.fanout.connection import Connection
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.session_limits import SessionLimits
from forestay.core.sessions.relocation import Reason, Relocation
from forestay.protocol.codes import ENDINGS, CloseCode

# Seconds. A loop that stalled for this long has not read what clients sent meanwhile, so none is ended for its silence.
_STALL: Final = 1.0
# The share by which the greatest age differs: connections that started together must not end together.
_AGE_SPREAD: Final = 0.1


class _Check:
    """The next check of one connection; empty once the connection is gone."""

    __slots__ = ("at", "connection")

    def __init__(self, at: float, connection: Connection) -> None:
        self.at = at
        self.connection: Connection | None = connection

    def __lt__(self, other: "_Check") -> bool:
        return self.at < other.at


class Keepalive:
    """Checks all connections of this pod, each at its time."""

    def __init__(self, runtime: Runtime, limits: SessionLimits, relocation: Relocation) -> None:
        self._loop = runtime.loop
        self._clock = runtime.clock
        self._uniform = runtime.uniform
        self._limits = limits
        self._times = limits.keepalive
        self._relocation = relocation
        self._checks: list[_Check] = []
        self._by_connection: dict[Connection, _Check] = {}
        self._timer: TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        """Check `connection` from now on."""
        if self._limits.max_age:
            age = self._limits.max_age * self._uniform(1 - _AGE_SPREAD, 1 + _AGE_SPREAD)
            connection.leave_at = connection.connected_at + age - self._limits.lead
        now = self._loop.time()
        self._plan(connection, self._earliest(connection, now, now + self._times.ping_interval))

    def watch(self, connection: Connection) -> None:
        """Plan the next check of `connection` again, because its token was renewed."""
        self.forget(connection)
        now = self._loop.time()
        last_ping = connection.pinged_at
        ping_at = now + self._times.ping_interval if last_ping is None else last_ping + self._times.pong_timeout
        self._plan(connection, self._earliest(connection, now, ping_at))

    def forget(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        check = self._by_connection.pop(connection, None)
        if check is not None:
            check.connection = None

    def close(self) -> None:
        """Stop all checks."""
        if self._timer is not None:
            self._timer.cancel()

    def _plan(self, connection: Connection, at: float) -> None:
        check = self._by_connection[connection] = _Check(at, connection)
        heappush(self._checks, check)
        if self._timer is None or at < self._timer.when():
            self._wake_at(at)

    def _wake_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._run)

    def _run(self) -> None:
        now = self._loop.time()
        self._timer = None
        while self._checks and self._checks[0].at <= now:
            check = heappop(self._checks)
            connection = check.connection
            if connection is not None:
                del self._by_connection[connection]
                at = self._check(connection, now, now - check.at)
                if at is not None:
                    self._by_connection[connection] = following = _Check(at, connection)
                    heappush(self._checks, following)
        while self._checks and self._checks[0].connection is None:
            heappop(self._checks)
        if self._checks:
            self._wake_at(self._checks[0].at)

    def _check(self, connection: Connection, now: float, late: float) -> float | None:
        """Do what is due for `connection`. The time of the next check, or None where it has ended."""
        if connection.identity.expires_at <= self._clock():
            connection.end(ENDINGS[CloseCode.TOKEN_EXPIRED])
            return None
        if connection.leave_at is not None and connection.leave_at <= now:
            connection.leave_at = None
            self._relocation.ask(connection, reason=Reason.AGE)
        pinged_at = connection.pinged_at
        if pinged_at is None:
            if not connection.transport.closed():
                connection.transport.write(connection.wire.ping())
            connection.pinged_at = now
            at = now + self._times.pong_timeout
        elif connection.heard_at >= pinged_at:
            connection.pinged_at = None
            at = max(now, pinged_at + self._times.ping_interval)
        elif late > _STALL:
            # What the client sent meanwhile is unread. The next check decides.
            at = now + self._times.pong_timeout
        elif now - pinged_at < self._times.pong_timeout:
            at = pinged_at + self._times.pong_timeout
        else:
            connection.end(ENDINGS[CloseCode.NO_PONG])
            return None
        return self._earliest(connection, now, at)

    def _earliest(self, connection: Connection, now: float, at: float) -> float:
        """`at`, or before it the time when the token expires or the connection gets old."""
        expiry = now + max(0.0, connection.identity.expires_at - self._clock())
        return min(at, expiry) if connection.leave_at is None else min(at, expiry, connection.leave_at)
