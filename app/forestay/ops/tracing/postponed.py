"""Defers work of the event loop until there is a batch of it.

Where few traces are kept, the code that makes a span is in no cache of the processor. The first span then takes several
times as long as the next one.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Final

# The first few spans take most of the time. A larger batch would block the loop.
_BATCH: Final = 64
# In seconds: a fraction of the time that the SDK keeps spans before it sends them.
_MAX_WAIT: Final = 1.0


class Postponed:
    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._work: list[Callable[[], None]] = []
        self._timer: TimerHandle | None = None

    def add(self, work: Callable[[], None]) -> None:
        """Queues `work`. It runs within a second, or earlier with a full batch."""
        self._work.append(work)
        if len(self._work) >= _BATCH:
            self.run_now()
        elif self._timer is None:
            self._timer = self._loop.call_later(_MAX_WAIT, self.run_now)

    def run_now(self) -> None:
        """Runs all queued work now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        work, self._work = self._work, []
        for each in work:
            each()
