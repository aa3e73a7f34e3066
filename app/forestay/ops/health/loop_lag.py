"""Measures how late the event loop is: everything that waits for the loop waits so much longer."""

import asyncio
from time import perf_counter
from typing import Final

_INTERVAL: Final = 0.25
# The weight of the newest sample. A single pause of a second should not change readiness, four in a row should.
_NEWEST: Final = 0.2
# Seconds. The worst lag is kept for the present period and the one before it.
_PERIOD: Final = 30.0


class LoopLag:
    def __init__(self) -> None:
        self._worst = 0.0
        self._worst_before = 0.0
        self._since = 0.0
        self.smoothed = 0.0
        """The lag of the last few seconds, in seconds."""

    @property
    def worst(self) -> float:
        """The longest lag of this period and the one before it, in seconds. Reading it changes nothing."""
        return max(self._worst, self._worst_before)

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            due = perf_counter() + _INTERVAL
            await asyncio.sleep(_INTERVAL)
            now = perf_counter()
            self.note(now, max(0.0, now - due))

    def note(self, now: float, late: float) -> None:
        """Add a sample: the loop was `late` seconds behind at the time `now`, by any monotonic clock."""
        if now - self._since >= _PERIOD:
            self._since, self._worst_before, self._worst = now, self._worst, 0.0
        self._worst = max(self._worst, late)
        self.smoothed += _NEWEST * (late - self.smoothed)
