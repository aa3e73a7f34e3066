"""Allows some requests at once, and then one in each interval."""

from collections.abc import Callable


class RequestBudget:
    """Some requests at once, and then one in each interval."""

    def __init__(self, burst: int, refill: float, clock: Callable[[], float]) -> None:
        """`refill`: seconds after which one more is allowed. `clock`: seconds."""
        self._burst = float(burst)
        self._refill = refill
        self._clock = clock
        self._level = self._burst
        self._at = clock()

    @property
    def empty(self) -> bool:
        """Whether the next request has to wait."""
        return self._now() < 1.0

    def take(self) -> float:
        """Take one request. Returns the seconds to wait for it."""
        self._level, self._at = self._now() - 1.0, self._clock()
        return max(0.0, -self._level * self._refill)

    def _now(self) -> float:
        """How many requests are allowed now, with what time has added."""
        if self._refill <= 0:
            return self._burst
        return min(self._burst, self._level + (self._clock() - self._at) / self._refill)
