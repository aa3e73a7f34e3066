"""Bounds what one user or one room may use: a budget for each, which time fills again.

The publishes of a user leave new rooms with history and keys on the bus. Each join and leave that the members of a room
are told goes to all of them, so a few users who come and go could cost as much as all others together.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

NEW_ROOMS_PERIOD: Final = 3600.0
"""Seconds over which the new rooms of a user are counted."""

NEWS_BURST: Final = 200
"""Joins and leaves that a pod tells in one room at once."""

NEWS_PERIOD: Final = 10.0
"""Seconds in which it may tell as many again."""

Owner = TypeVar("Owner", bound=Hashable)

# Owners whose budget is not full. With more of them, those that are full again are forgotten.
_MIN_SWEEP: Final = 1000


class Budgets(Generic[Owner]):
    """What each owner may still spend: `amount` at once, and as much again in each `period`."""

    def __init__(self, amount: int, period: float) -> None:
        """`amount`: 0 means no limit. `period`: seconds."""
        self._amount = float(amount)
        self._rate = amount / period
        self._left: dict[Owner, tuple[float, float]] = {}
        """By owner, what is left, and the time when that was so."""
        self._sweep_at = _MIN_SWEEP

    def spend(self, owner: Owner, now: float) -> float:
        """Spend one. Returns 0 where it is allowed, else the seconds until one will be. `now`: any monotonic clock."""
        if not self._amount:
            return 0.0
        left = self._now_left(owner, now)
        if left < 1.0:
            return (1.0 - left) / self._rate
        if len(self._left) >= self._sweep_at:
            self._sweep(now)
        self._left[owner] = left - 1.0, now
        return 0.0

    def give_back(self, owner: Owner, now: float) -> None:
        """Undo one `spend` that was allowed."""
        if self._amount:
            left = self._now_left(owner, now) + 1.0
            if left >= self._amount:
                self._left.pop(owner, None)
            else:
                self._left[owner] = left, now

    def _now_left(self, owner: Owner, now: float) -> float:
        known = self._left.get(owner)
        return self._amount if known is None else min(self._amount, known[0] + (now - known[1]) * self._rate)

    def _sweep(self, now: float) -> None:
        self._left = {owner: one for owner, one in self._left.items() if self._now_left(owner, now) < self._amount}
        self._sweep_at = max(_MIN_SWEEP, 2 * len(self._left))


@dataclass(frozen=True, slots=True)
class UserAmounts:
    """What each user may leave on the bus; 0 means no limit."""

    new_rooms: int = 0
    """New rooms with history in an hour."""
    keys: int = 0
    """Keys at a time."""


NO_LIMITS: Final = UserAmounts()
