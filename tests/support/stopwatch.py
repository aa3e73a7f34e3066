"""Measures how long something takes on a machine that stands still now and then, as a virtual one does."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TICK: Final = 0.01
_LONGEST: Final = 0.05
"""Seconds that count of a step between two looks at the clock. In the rest of a longer step the machine stood still."""


class Stopwatch:
    """Counts the seconds in which this machine ran. Those in which no process got a turn are left out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ran = 0.0
        self._looked = time.monotonic()
        self._over = threading.Event()

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        with self._lock:
            now = time.monotonic()
            self._ran += min(now - self._looked, _LONGEST)
            self._looked = now
            return self._ran

    def run(self) -> None:
        """Look at the clock until `stop`. In a thread of its own, a busy loop does not look like a machine at rest."""
        while not self._over.wait(_TICK):
            _ = self.seconds

    def stop(self) -> None:
        self._over.set()


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Yields a running stopwatch."""
    watch = Stopwatch()
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()
