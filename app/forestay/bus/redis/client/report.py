"""Reports what happens to the bus: events for the metrics, log lines, and the result that `start` waits for.

The parts that find an error call it directly. A state is logged when it changes, and an error when it is new: both come
by the thousand when they come.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from forestay.bus.redis.client.command import ErrorReply
from forestay.bus.redis.client.connection import ConnectError, Misconfigured

log = structlog.get_logger(__name__)

# Different reasons that are logged until the bus works again.
_MAX_REASONS: Final = 20


class Report:
    def __init__(self, count: Callable[[str], None]) -> None:
        """`count` is called with the name of each event."""
        self._count = count
        self._logged: set[str] = set()
        self._first_result: asyncio.Future[Misconfigured | None] | None = None
        self.topology_stale = asyncio.Event()
        """Set when the nodes or their shares may have changed. Discovery clears it before it asks."""

    def first_result(self) -> asyncio.Future[Misconfigured | None]:
        """Done when the bus works or something fails. The result is the error if waiting cannot help against it."""
        self._first_result = asyncio.get_running_loop().create_future()
        return self._first_result

    def connected(self) -> None:
        """Every node works."""
        self._logged.clear()
        self._count("connected")
        log.info("bus connected")
        self._set_first_result(None)

    def lost(self, reason: str) -> None:
        """Some node works no more."""
        self._count("lost")
        log.warning("bus lost", reason=reason)

    def probe_lost(self) -> None:
        """Redis has accepted a probe, and the pod did not receive it."""
        self._count("deaf")
        log.warning("bus probe lost", reason="a probe was published and did not come back; subscribing again")

    def connect_failed(self, error: ConnectError) -> None:
        """A connection could not be made, or is of no use. There will be another attempt in any case."""
        self._count("misconfigured" if isinstance(error, Misconfigured) else "unreachable")
        self._log_once("bus unreachable", str(error))
        self._set_first_result(error if isinstance(error, Misconfigured) else None)
        self.topology_stale.set()

    def error_reply(self, error: ErrorReply) -> None:
        """A command settles with an error."""
        self._count("full" if error.full else "refused")
        # Only the kind: the rest may name a key, and so a user.
        reason = error.kind
        if error.full:
            reason = "OOM: Redis has reached its maxmemory"
        elif error.halfway:
            reason = "NOPERM: a script needs a right that the Redis user does not have; see docs/redis.md, Rights"
        self._log_once("bus refuses", reason)

    def resubscribed(self) -> None:
        """Subscriptions were made anew. Messages may have been missed before that."""
        self._count("resubscribed")

    def message_dropped(self, kind: str, reason: str) -> None:
        """A message from Redis is not believed. `kind`: `garbage` or `forged`. `reason`: one of a few sentences."""
        self._count(kind)
        self._log_once("bus message dropped", f"{kind}: {reason}")

    def _set_first_result(self, result: Misconfigured | None) -> None:
        if self._first_result is not None and not self._first_result.done():
            self._first_result.set_result(result)

    def _log_once(self, event: str, reason: str) -> None:
        if reason not in self._logged and len(self._logged) < _MAX_REASONS:
            self._logged.add(reason)
            log.warning(event, reason=reason)
