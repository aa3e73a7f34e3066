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

    ping_at: float
    """Loop time of the next ping."""
    pinged_at: float | None
    """Loop time of the first ping that it has not answered yet."""
    heard_at: float
    """Loop time of its last sign of life."""

    def ping(self) -> None:
        """Write a ping."""


def check_life(client: Pinged, now: float, late: float, interval: float, timeout: float) -> float | None:
    """Ping `client` where it is time, and look whether it answers. The time of the next check; None: it took too long.

    `late`: seconds by which this check is late. `interval`: seconds between pings. `timeout`: seconds to answer one.
    Pings keep their interval where a client answers late or not at all: they also keep its connection open in proxies.
    """
    pinged_at = client.pinged_at
    if pinged_at is not None and client.heard_at >= pinged_at:
        pinged_at = client.pinged_at = None
    if pinged_at is not None:
        if late > _STALL:
            # What the client sent meanwhile is unread. It has the time to answer again.
            pinged_at = client.pinged_at = now
        # Compared as it was planned: by a difference, the time of the plan itself could be too early.
        elif now >= pinged_at + timeout:
            return None
    if now >= client.ping_at:
        client.ping()
        client.ping_at = now + interval
        if pinged_at is None:
            client.pinged_at = now
    return next_check(client, timeout)


def next_check(client: Pinged, timeout: float) -> float:
    """When `client` is to be checked: at its next ping, or where its time to answer is over."""
    return client.ping_at if client.pinged_at is None else min(client.ping_at, client.pinged_at + timeout)


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
        connection.ping_at = self._loop.time() + self._times.ping_interval
        self.watch(connection)

    def watch(self, connection: Connection) -> None:
        """Plan the next check of `connection`: at first, and again when its token was renewed."""
        at = next_check(connection, self._times.pong_timeout)
        self._checks.plan(connection, self._earliest(connection, self._loop.time(), at))

    def forget(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._checks.forget(connection)

    def close(self) -> None:
        """Stop all checks."""
        self._checks.close()

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
        liveness, interval = connection.wire.liveness, self._times.ping_interval
        if connection.held and connection.pinged_at is not None:
            # What the client sends is unread. It has the time to answer again.
            connection.pinged_at = now
        if liveness is Liveness.ANSWERED:
            at = check_life(connection, now, late, interval, self._times.pong_timeout)
            if at is None:
                connection.end(ENDINGS[CloseCode.NO_PONG])
            return at
        if now >= connection.ping_at:
            connection.ping_at = now + interval
            if liveness is Liveness.KEPT_OPEN:
                connection.ping()
        return connection.ping_at

    def _earliest(self, connection: Connection, now: float, at: float) -> float:
        """`at`, or before it the time when the token expires or the connection gets old."""
        expiry = now + max(0.0, connection.identity.expires_at - self._clock())
        return min(at, expiry) if connection.leave_at is None else min(at, expiry, connection.leave_at)
