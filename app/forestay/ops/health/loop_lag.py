"""How late the event loop is: what everything that waits for it waits longer than it should."""

import asyncio
from typing import Final

_INTERVAL: Final = 0.25
# The share of the newest sample: one pause of a second is no state of affairs, four in a row are.
_NEWEST: Final = 0.2


# Seconds after which the worst lag of a period makes place for that of the next one.
_PERIOD: Final = 30.0


class LoopLag:
    def __init__(self) -> None:
        self._worst = 0.0
        self._worst_before = 0.0
        self._since = 0.0
        self.smoothed = 0.0
        """Seconds: over the last few seconds."""

    @property
    def worst(self) -> float:
        """Seconds: the longest of the present period and the one before it, whoever asks and however often."""
        return max(self._worst, self._worst_before)

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _INTERVAL
            await asyncio.sleep(_INTERVAL)
            now = loop.time()
            self.note(now, max(0.0, now - due))

    def note(self, now: float, late: float) -> None:
        """The loop was `late` seconds behind. `now`: loop time."""
        if now - self._since >= _PERIOD:
            self._since, self._worst_before, self._worst = now, self._worst, 0.0
        self._worst = max(self._worst, late)
        self.smoothed += _NEWEST * (late - self.smoothed)
