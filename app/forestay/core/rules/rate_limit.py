"""How fast one client may speak: a token bucket that a flood drives into debt.

Who keeps to the rate notices nothing. Who exceeds it is refused message by message, and each refused message costs half
a token, so that a client at twice the rate or more gets nothing through; when that has gone on for `PATIENCE` seconds
the connection ends.
"""

from typing import Final

PATIENCE: Final = 5.0
"""Seconds of nothing but refusals before the end."""

_COST_OF_REFUSAL = 0.5
# A bounded debt: whoever stops flooding is heard again after a second.
_LONGEST_DEBT = 1.0


class TokenBucket:
    """One client's allowance. Times are seconds of any monotonic clock."""

    __slots__ = ("_at", "_refused_since", "_tokens")

    def __init__(self, burst: float, now: float) -> None:
        self._tokens = burst
        self._at = now
        self._refused_since: float | None = None

    def wait(self, rate: float, burst: float, now: float) -> float:
        """Spend one message: 0 where it is allowed, else the seconds after which one would be."""
        tokens = min(burst, self._tokens + (now - self._at) * rate)
        self._at = now
        if tokens >= 1.0:
            self._tokens = tokens - 1.0
            self._refused_since = None
            return 0.0
        if self._refused_since is None:
            self._refused_since = now
        self._tokens = tokens = max(tokens - _COST_OF_REFUSAL, -rate * _LONGEST_DEBT)
        return (1.0 - tokens) / rate

    def exhausted(self, now: float) -> bool:
        """Whether there has been nothing but refusals for too long."""
        return self._refused_since is not None and now - self._refused_since >= PATIENCE
