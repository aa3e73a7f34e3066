"""Counts repeated events and logs the counts at most once per interval.

A flood of requests must not become a flood of log lines.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

INTERVAL: Final = 10.0
"""Seconds between two lines about the same event."""


class LogThrottle:
    """Logs one event with a count for each of its kinds, and the last reason of each kind."""

    def __init__(self, event: str, write: Callable[..., object] | None = None) -> None:
        """`event`: the event's name in the log. `write`: logs it; None: as information."""
        self._event = event
        self._write = log.info if write is None else write
        self._counts: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._waiting = False

    def count(self, kind: str, reason: str | None = None) -> None:
        """Count one more event of this `kind`. The first one after a quiet interval is logged at once.

        `kind` is one of a closed set. `reason`: a bounded sentence about this event.
        """
        self._counts[kind] += 1
        if reason is not None:
            self._reasons[f"last {kind}"] = reason
        if not self._waiting:
            self._log_counts()

    def _log_counts(self) -> None:
        self._waiting = bool(self._counts)
        if self._counts:
            self._write(self._event, **self._counts, **self._reasons)
            self._counts.clear()
            self._reasons.clear()
            asyncio.get_running_loop().call_later(INTERVAL, self._log_counts)
