"""Limits what each user sends in single requests, without a connection that could count it."""

from typing import Final

from forestay.core.rules.rate_limit import Rates, TokenBucket

# Users who have a bucket. With more of them, those whose bucket is as good as new are forgotten.
_MIN_SWEEP: Final = 1000


class UserRates:
    """One bucket for each user who sends requests now, with the limits of a connection."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._buckets: dict[str, TokenBucket] = {}
        self._sweep_at = _MIN_SWEEP

    def __len__(self) -> int:
        return len(self._buckets)

    def __contains__(self, user: str) -> bool:
        return user in self._buckets

    def spend(self, user: str, now: float, size: int = 0, cost: float = 1.0) -> None:
        """Spend a request of `size` bytes that costs as much as `cost` cheap messages. Raises Refusal.

        `now`: any monotonic clock.
        """
        if not self._rates.limited:
            return
        bucket = self._buckets.get(user)
        if bucket is None:
            if len(self._buckets) >= self._sweep_at:
                self._sweep(now)
            bucket = self._buckets[user] = TokenBucket(self._rates, now)
        wait = bucket.wait(self._rates, now, size, cost)
        if wait:
            raise self._rates.refusal(wait)

    def _sweep(self, now: float) -> None:
        self._buckets = {user: one for user, one in self._buckets.items() if not one.is_new(self._rates, now)}
        self._sweep_at = max(_MIN_SWEEP, 2 * len(self._buckets))
