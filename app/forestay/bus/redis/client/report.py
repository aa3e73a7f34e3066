"""What is said about the bus: events for whoever counts, lines for whoever reads logs, the first outcome for `start`.

A state is logged when it changes and a complaint when it is new, since both come by the thousand when they come.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from forestay.bus.redis.client.connection import Away, Complaint, Misconfigured

log = structlog.get_logger(__name__)

# Different reasons that are logged until the bus works again.
_MOST_SAID: Final = 20


class Report:
    def __init__(self, count: Callable[[str], None]) -> None:
        """`count` is told of events by name."""
        self._count = count
        self._said: set[str] = set()
        self._first: asyncio.Future[Misconfigured | None] | None = None

    def first(self) -> asyncio.Future[Misconfigured | None]:
        """Done when the bus works, or something failed: with what is wrong, where that is so for good."""
        self._first = asyncio.get_running_loop().create_future()
        return self._first

    def works(self) -> None:
        self._said.clear()
        self._count("connected")
        log.info("bus connected")
        self._settle(None)

    def fails(self, why: str) -> None:
        self._count("lost")
        log.warning("bus lost", reason=why)

    def deaf(self) -> None:
        self._count("deaf")
        log.warning("bus deaf", reason="what this pod publishes does not come back; it listens anew")

    def failed(self, error: Away | Misconfigured) -> None:
        self._say("bus unreachable", str(error))
        self._settle(error if isinstance(error, Misconfigured) else None)

    def complained(self, complaint: Complaint) -> None:
        # The rest of it may name a key, and so a user.
        self._say("bus refuses", complaint.kind)

    def _settle(self, result: Misconfigured | None) -> None:
        if self._first is not None and not self._first.done():
            self._first.set_result(result)

    def _say(self, event: str, reason: str) -> None:
        if reason not in self._said and len(self._said) < _MOST_SAID:
            self._said.add(reason)
            log.warning(event, reason=reason)
