"""Says once in a while what happened how often: a flood of requests must not become a flood of lines."""

import asyncio
from collections import Counter
from typing import Final

import structlog

log = structlog.get_logger(__name__)

PAUSE: Final = 10.0
"""Seconds between two lines about the same thing."""


class LogThrottle:
    def __init__(self, event: str) -> None:
        """`event`: what the line is called."""
        self._event = event
        self._counts: Counter[str] = Counter()
        self._resting = False

    def note(self, kind: str) -> None:
        """It happened once more; said at once where it has not been said for a while."""
        self._counts[kind] += 1
        if not self._resting:
            self._say()

    def _say(self) -> None:
        self._resting = bool(self._counts)
        if self._counts:
            log.info(self._event, **self._counts)
            self._counts.clear()
            asyncio.get_running_loop().call_later(PAUSE, self._say)
