"""How late the event loop is: what everything that waits for it waits longer than it should."""

import asyncio
from typing import Final

_INTERVAL: Final = 0.25
# The share of the newest sample: one pause of a second is no state of affairs, four in a row are.
_NEWEST: Final = 0.2


class LoopLag:
    def __init__(self) -> None:
        self.worst = 0.0
        """Seconds: the longest since it was last taken."""
        self.smoothed = 0.0
        """Seconds: over the last few seconds."""

    def take_worst(self) -> float:
        """The longest lag since the last time, in seconds."""
        worst, self.worst = self.worst, 0.0
        return worst

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _INTERVAL
            await asyncio.sleep(_INTERVAL)
            self.note(max(0.0, loop.time() - due))

    def note(self, late: float) -> None:
        """The loop was `late` seconds behind."""
        self.worst = max(self.worst, late)
        self.smoothed += _NEWEST * (late - self.smoothed)
