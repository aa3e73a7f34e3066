"""How much a connection may say at a time: one bucket for messages and one for bytes, as the gateway counts them."""

from dataclasses import dataclass
from typing import Final

_SHARE: Final = 0.9
"""Of a bucket. The network brings messages closer together than they were sent, and the gateway counts what arrives."""

_SPEED: Final = 0.97
"""Of a rate, because two clocks never go equally fast."""

_LARGEST_AT_ONCE: Final = 4
"""Messages of the full size that the gateway takes at once, whatever its rate of bytes."""

_NOTHING: Final = 1e-6
"""Seconds. A shorter wait is only a rounding error."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the gateway takes from a connection, as its welcome says. 0 is no limit."""

    message_bytes: int = 0
    rate: float = 0.0
    """Messages per second."""
    burst: float = 0.0
    """Messages at once."""
    bytes_rate: float = 0.0
    rooms_per_join: int = 0
    """How many rooms one `join` may name; 0 where it names a single one."""


class _Bucket:
    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate = rate * _SPEED
        self.capacity = self._tokens = max(1.0, capacity * _SHARE)
        self._at = now

    def tokens(self, now: float) -> float:
        if now > self._at:
            self._tokens = min(self.capacity, self._tokens + (now - self._at) * self.rate)
            self._at = now
        return self._tokens

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be spent; what is larger than the bucket waits until it is full."""
        if not self.rate:
            return 0.0
        missing = min(amount, self.capacity) - self.tokens(now)
        seconds = max(0.0, missing / self.rate) + self._at - now
        return seconds if seconds > _NOTHING else 0.0

    def spend(self, amount: float, now: float) -> None:
        self._tokens = self.tokens(now) - amount

    def hold(self, until: float, now: float) -> None:
        """Have one token at `until`, and none before."""
        self._tokens = min(1.0, self.tokens(now))
        self._at = max(self._at, until)


class Pace:
    """The tokens of one connection. This module has no clock: `now` is in seconds of any monotonic one."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._messages = _Bucket(limits.rate, limits.burst, now)
        at_once = max(limits.bytes_rate, _LARGEST_AT_ONCE * limits.message_bytes)
        self._bytes = _Bucket(limits.bytes_rate, at_once, now)
        self._held_until = now

    def wait(self, size: int, now: float, messages: int = 1) -> float:
        """Seconds until `messages` of `size` bytes together may be said."""
        held = max(0.0, self._held_until - now)
        return max(held, self._messages.wait(messages, now), self._bytes.wait(size, now))

    def spend(self, size: int, now: float, messages: int = 1) -> None:
        """`messages`: how many cheap ones it counts as. More than there are leave a debt."""
        self._messages.spend(messages, now)
        self._bytes.spend(size, now)

    def handful(self, now: float) -> tuple[int, int]:
        """How many messages are worth to wait for, and how many may be said at once.

        It is worth to wait for those of a tenth of a second, or of half a bucket: while a late timer is waited for, the
        other half fills.
        """
        if not self._messages.rate:
            return 1, 1 << 30
        there = int(self._messages.tokens(now) + _NOTHING)
        worth = max(1, min(int(self._messages.capacity / 2), int(self._messages.rate / 10)))
        return worth, max(worth, there)

    def refused(self, after: float, now: float) -> None:
        """The gateway counts less than we do, and says when to go on.

        Of refusals that come together the first counts: the next ones say when those behind it are through.
        """
        if now >= self._held_until:
            self._held_until = now + after
            self._messages.hold(self._held_until, now)
