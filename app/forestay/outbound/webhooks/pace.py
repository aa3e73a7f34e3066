"""Decides when a request is sent again: each batch waits longer with each failure, and a receiver that fails rests."""

from collections.abc import Callable
from typing import Final

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 300.0
"""Seconds until a batch is sent again: after its first failure, and at most. Each failure doubles them."""

FIRST_REST: Final = 0.5
LONGEST_REST: Final = 10.0
"""Seconds without any request after the receiver failed: the first time, and at most. Each failure doubles them."""

Uniform = Callable[[float, float], float]


def wait(attempts: int, uniform: Uniform) -> float:
    """Seconds until a batch that has failed `attempts` times is sent again: between half of a bound and the bound."""
    bound = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts - 1, 20))
    return uniform(bound / 2, bound)


class Pace:
    """How a pod spares a receiver that fails: it rests, then tries one request, and goes on when that is delivered."""

    def __init__(self, uniform: Uniform) -> None:
        self._uniform = uniform
        self._failures = 0
        self.rest_until = 0.0
        """The loop's time before which nothing is sent."""

    @property
    def failing(self) -> bool:
        """Whether the last request showed that the receiver fails."""
        return self._failures > 0

    def worked(self) -> None:
        """Note that the receiver works."""
        self._failures, self.rest_until = 0, 0.0

    def failed(self, now: float, least: float) -> None:
        """Note that the receiver fails. `least`: seconds for which it asked to be left alone."""
        bound = min(LONGEST_REST, FIRST_REST * 2.0 ** min(self._failures, 20))
        self._failures += 1
        self.rest_until = now + max(least, self._uniform(bound / 2, bound))
