"""Pings clients, ends those that do not answer, and acts when a token expires or a connection gets old.

The wire of a connection says whether its client must answer a ping, is only kept open by one, or gets none from here.
"""

from typing import Final, Protocol

from forestay.core.fanout.connection import Connection
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.session_limits import SessionLimits
from forestay.core.sessions.checks import Checks
from forestay.core.sessions.relocation import Reason, Relocation
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.wire import Liveness

# Seconds. A loop that stalled for this long has not read what clients sent meanwhile, so none is ended for its silence.
_STALL: Final = 1.0
# The share by which the greatest age differs: connections that started together must not end together.
_AGE_SPREAD: Final = 0.1


class Pinged(Protocol):
    """A client that is pinged."""

    pinged_at: float | None
    """Loop time of a ping that it has not answered yet."""
    heard_at: float
    """Loop time of its last sign of life."""


def look_for_answer(
    client: Pinged, pinged_at: float, now: float, late: float, interval: float, timeout: float
) -> float | None:
    """Look whether `client` has answered the ping of `pinged_at`. The time of the next check; None: it took too long.

    `late`: seconds by which this check is late. `interval`: seconds between pings. `timeout`: seconds to answer one.
    """
    if client.heard_at >= pinged_at:
        client.pinged_at = None
        return max(now, pinged_at + interval)
    if late > _STALL:
        # What the client sent meanwhile is unread. The next check decides.
        return now + timeout
    # Compared as it was planned: by a difference, the time of the plan itself could be too early.
    return pinged_at + timeout if now < pinged_at + timeout else None


class Keepalive:
    """Checks all connections of this pod, each at its time."""

    def __init__(self, runtime: Runtime, limits: SessionLimits, relocation: Relocation) -> None:
        self._loop = runtime.loop
        self._clock = runtime.clock
        self._uniform = runtime.uniform
        self._limits = limits
        self._times = limits.keepalive
        self._relocation = relocation
        self._checks: Checks[Connection] = Checks(runtime.loop, self._check)

    def add(self, connection: Connection) -> None:
        """Check `connection` from now on."""
        if self._limits.max_age:
            age = self._limits.max_age * self._uniform(1 - _AGE_SPREAD, 1 + _AGE_SPREAD)
            connection.leave_at = connection.connected_at + age - self._limits.lead
        self._plan(connection)

    def watch(self, connection: Connection) -> None:
        """Plan the next check of `connection` again, because its token was renewed."""
        self._plan(connection)

    def forget(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._checks.forget(connection)

    def close(self) -> None:
        """Stop all checks."""
        self._checks.close()

    def _plan(self, connection: Connection) -> None:
        now, pinged_at = self._loop.time(), connection.pinged_at
        at = now + self._times.ping_interval if pinged_at is None else pinged_at + self._times.pong_timeout
        self._checks.plan(connection, self._earliest(connection, now, at))

    def _check(self, connection: Connection, now: float, late: float) -> float | None:
        """Do what is due for `connection`. The time of the next check, or None where it has ended."""
        if connection.identity.expires_at <= self._clock():
            connection.end(ENDINGS[CloseCode.TOKEN_EXPIRED])
            return None
        if connection.leave_at is not None and connection.leave_at <= now:
            connection.leave_at = None
            self._relocation.ask(connection, reason=Reason.AGE)
        at = self._check_life(connection, now, late)
        return None if at is None else self._earliest(connection, now, at)

    def _check_life(self, connection: Connection, now: float, late: float) -> float | None:
        """Ping the client, or look whether it has answered. The time of the next check, or None where it has ended."""
        liveness, pinged_at = connection.wire.liveness, connection.pinged_at
        if liveness is not Liveness.ANSWERED:
            if liveness is Liveness.KEPT_OPEN:
                self._ping(connection)
            return now + self._times.ping_interval
        if pinged_at is None:
            self._ping(connection)
            connection.pinged_at = now
            return now + self._times.pong_timeout
        at = look_for_answer(connection, pinged_at, now, late, self._times.ping_interval, self._times.pong_timeout)
        if at is None:
            connection.end(ENDINGS[CloseCode.NO_PONG])
        return at

    def _ping(self, connection: Connection) -> None:
        if not connection.transport.closed():
            connection.transport.write(connection.wire.ping())

    def _earliest(self, connection: Connection, now: float, at: float) -> float:
        """`at`, or before it the time when the token expires or the connection gets old."""
        expiry = now + max(0.0, connection.identity.expires_at - self._clock())
        return min(at, expiry) if connection.leave_at is None else min(at, expiry, connection.leave_at)
