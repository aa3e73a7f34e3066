"""Limits the messages of one client with a token bucket, which a flood drives into debt.

A client below the rate is never refused. Beyond it, each message is refused, and each refusal costs half a token. So a
client at twice the rate or more gets no message through. After `MAX_REFUSED` seconds of that the connection ends.
"""

from typing import Final

MAX_REFUSED: Final = 5.0
"""Seconds of nothing but refusals after which a connection ends."""

_COST_OF_REFUSAL = 0.5
# Seconds. The debt is bounded, so a client that stops flooding gets through again after a second.
_LONGEST_DEBT = 1.0


class TokenBucket:
    """The messages that one client may still send. Times are seconds of any monotonic clock."""

    __slots__ = ("_at", "_refused_since", "_tokens")

    def __init__(self, burst: float, now: float) -> None:
        self._tokens = burst
        self._at = now
        self._refused_since: float | None = None

    def wait(self, rate: float, burst: float, now: float) -> float:
        """Spend one message. Returns 0 where it is allowed, else the seconds until one will be."""
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
        """Whether all messages of the last `MAX_REFUSED` seconds were refused."""
        return self._refused_since is not None and now - self._refused_since >= MAX_REFUSED
