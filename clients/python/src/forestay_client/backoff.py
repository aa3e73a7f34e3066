"""How long to wait before the next try: full jitter over a window that doubles."""

import random
from collections.abc import Callable


class Backoff:
    """The first wait is anywhere in the spread, so that a pod's clients come back spread out; later windows double."""

    def __init__(
        self, minimum: float, maximum: float, spread: float = 2.0, dice: Callable[[], float] = random.random
    ) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._dice = dice
        self._tries = 0
        self.spread = spread
        """Seconds; `welcome` announces the gateway's."""

    def next(self) -> float:
        """Seconds to wait before the next try."""
        # Past 2^16 every window is longer than the longest, and a float would overflow in the end.
        window = min(self._maximum, self.spread * (1 << min(self._tries, 16)))
        self._tries += 1
        return self._minimum + self._dice() * max(0.0, window - self._minimum)

    def reset(self) -> None:
        """Begin anew: the last connection lived."""
        self._tries = 0
