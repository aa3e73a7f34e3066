"""Bounds what the publishes of one user may leave on the bus: new rooms with history, and keys."""

from dataclasses import dataclass
from typing import Final

NEW_ROOMS_PERIOD: Final = 3600.0
"""Seconds over which the new rooms of a user are counted."""

KEYS_PERIOD: Final = 300.0
"""Seconds over which the keys of a user are counted: a key lives as long."""

# Users whose budget is not full. With more of them, those that are full again are forgotten.
_MIN_SWEEP: Final = 1000


class UserBudget:
    """What each user may still spend: `amount` at once, and as much again in each `period`."""

    def __init__(self, amount: int, period: float) -> None:
        """`amount`: 0 means no limit. `period`: seconds."""
        self._amount = float(amount)
        self._rate = amount / period
        self._left: dict[str, tuple[float, float]] = {}
        """By user, what is left, and the time when that was so."""
        self._sweep_at = _MIN_SWEEP

    def spend(self, user: str, now: float) -> float:
        """Spend one. Returns 0 where it is allowed, else the seconds until one will be. `now`: any monotonic clock."""
        if not self._amount:
            return 0.0
        left = self._now_left(user, now)
        if left < 1.0:
            return (1.0 - left) / self._rate
        if len(self._left) >= self._sweep_at:
            self._sweep(now)
        self._left[user] = left - 1.0, now
        return 0.0

    def give_back(self, user: str, now: float) -> None:
        """Undo one `spend` that was allowed."""
        if self._amount:
            left = self._now_left(user, now) + 1.0
            if left >= self._amount:
                self._left.pop(user, None)
            else:
                self._left[user] = left, now

    def _now_left(self, user: str, now: float) -> float:
        known = self._left.get(user)
        return self._amount if known is None else min(self._amount, known[0] + (now - known[1]) * self._rate)

    def _sweep(self, now: float) -> None:
        self._left = {user: one for user, one in self._left.items() if self._now_left(user, now) < self._amount}
        self._sweep_at = max(_MIN_SWEEP, 2 * len(self._left))


@dataclass(frozen=True, slots=True)
class UserAmounts:
    """What each user may leave on the bus; 0 means no limit."""

    new_rooms: int = 0
    """New rooms with history in an hour."""
    keys: int = 0
    """Keys at a time."""


NO_LIMITS: Final = UserAmounts()
