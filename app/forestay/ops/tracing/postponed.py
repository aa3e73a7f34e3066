"""Work of the loop that is put off until there is some of it.

Where few traces are kept, what makes a span has not been run for a while and is in no cache of the processor; then it
takes several times as long as it does the next time.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from typing import Final

# The first few take most of the time; many would hold up the loop.
_TOGETHER: Final = 64
# Seconds that they wait for each other: a part of what the SDK keeps spans for before it sends them.
_LONGEST_WAIT: Final = 1.0


class Postponed:
    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._work: list[Callable[[], None]] = []
        self._waiting: TimerHandle | None = None

    def add(self, work: Callable[[], None]) -> None:
        """Have it done in a moment."""
        self._work.append(work)
        if len(self._work) >= _TOGETHER:
            self.catch_up()
        elif self._waiting is None:
            self._waiting = self._loop.call_later(_LONGEST_WAIT, self.catch_up)

    def catch_up(self) -> None:
        """Do all of it now."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
        work, self._work = self._work, []
        for each in work:
            each()
