"""A timer for one thing at a time."""

import asyncio
from collections.abc import Callable


class Timer:
    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float, work: Callable[[], None]) -> None:
        """Do `work` in so many seconds, in place of what was to be done before."""
        self.cancel()
        self._handle = asyncio.get_running_loop().call_later(seconds, work)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
