"""Limits the messages and the bytes of one client, and tells each refused message when to come again.

Two token buckets fill with time: one counts messages, the other bytes. A message that finds both filled is accepted and
takes its share, also beyond what is there; the next one then waits for longer. A refused message takes nothing. It is
told the time at which everything that was refused before it is through. So a client that obeys gets all of its messages
through, at the full rate and in the order in which they were refused.

A client that does not obey gets no more than the rate, but each refusal costs work. It is ended after `MAX_EXCESS`
seconds in which it sent half as much again as it may, or earlier if the refusals are very many.
"""

from math import inf
from typing import Final

from forestay.protocol.codes import ErrorCode, Refusal

MAX_EXCESS: Final = 8.0
"""Seconds of excess after which a connection ends. A client that sent much before it heard the first refusal is not
meant: that takes it a second or two."""

# Seconds for which refusals are added up, and the share of the rate above which they count as excess.
_WINDOW: Final = 0.5
_EXCESS: Final = 0.5
# A second without excess forgives that of half a second.
_FORGIVEN: Final = 0.5
# Seconds of excess that each refusal counts in any case, for each message that it counts as, and for each byte.
_REFUSAL: Final = 0.0001
_REFUSED_BYTE: Final = _REFUSAL / 1024
# Seconds by which a message may come later than it was told, as timers and networks do, without the loss of its token.
_LATE: Final = 0.25
# Seconds for which a full bucket shows that nobody comes any more for what was promised.
_GIVEN_UP: Final = 1.0
# Sums of floats come out a little short. A message that comes exactly when it was told must pass.
_ONE: Final = 1.0 - 1e-6
_NOTHING: Final = -1e-3
# The byte bucket holds at least this many of the largest messages.
_LARGEST_AT_ONCE: Final = 4


class Rates:
    """The limits of every client. A limit of 0 means none."""

    __slots__ = ("_in_words", "burst", "bytes", "bytes_burst", "messages")

    def __init__(self, messages: float, burst: float, bytes_rate: float = 0.0, message_bytes: int = 0) -> None:
        """`messages`, `bytes_rate`: per second. `burst`: messages at once. `message_bytes`: the largest message."""
        self.messages = messages
        self.burst = burst if messages else inf
        self.bytes = bytes_rate
        self.bytes_burst = max(bytes_rate, _LARGEST_AT_ONCE * message_bytes) if bytes_rate else inf
        words = [f"{messages:,.10g} messages"] if messages else []
        self._in_words = " or ".join(words + ([f"{bytes_rate:,.10g} bytes"] if bytes_rate else []))

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self.messages or self.bytes)

    def refusal(self, wait: float) -> Refusal:
        """The refusal of a message that must wait for so many seconds."""
        message = f"more than {self._in_words} per second; send it again after retry_after_ms"
        return Refusal(ErrorCode.RATE_LIMITED, message, retry_after=wait)


class _Refused:
    """What a client was told, and how far it exceeds its rate. Made with the first refusal of a connection."""

    __slots__ = ("_flagged", "_window", "_worth", "bytes_due", "due", "excess")

    def __init__(self, now: float) -> None:
        self.due = now
        """When all refused messages are through, as far as their number limits them."""
        self.bytes_due = now
        """The same, as far as their bytes limit them."""
        self.excess = 0.0
        """Seconds."""
        self._window = int(now / _WINDOW)
        self._worth = 0.0
        self._flagged = False

    def count(self, worth: float, size: int, cost: float, now: float) -> None:
        """Count a refusal. `worth`: seconds of the rate that the message would have taken."""
        window = int(now / _WINDOW)
        if window != self._window:
            quiet = window - self._window - self._flagged
            self.excess = max(0.0, self.excess - quiet * _WINDOW * _FORGIVEN)
            self._window, self._worth, self._flagged = window, 0.0, False
        self._worth += worth
        self.excess += cost * _REFUSAL + size * _REFUSED_BYTE
        if not self._flagged and self._worth >= _EXCESS * _WINDOW * _ONE:
            self._flagged = True
            self.excess += _WINDOW


class TokenBucket:
    """What one client may still send. Times are seconds of any monotonic clock."""

    __slots__ = ("_at", "_bytes", "_refused", "_tokens")

    def __init__(self, rates: Rates, now: float) -> None:
        self._tokens = rates.burst
        self._bytes = rates.bytes_burst
        self._at = now
        self._refused: _Refused | None = None

    def wait(self, rates: Rates, now: float, size: int = 0, cost: float = 1.0) -> float:
        """Spend one message of `size` bytes that costs as much as `cost` cheap ones.

        Returns 0 where it is allowed, else the seconds until it will be.
        """
        elapsed = now - self._at
        self._at = now
        tokens = self._tokens + elapsed * rates.messages
        room = self._bytes + elapsed * rates.bytes
        if tokens > rates.burst:
            tokens = self._full(tokens, rates, now)
        if room > rates.bytes_burst:
            room = self._full_of_bytes(room, rates, now)
        if tokens >= _ONE and room >= _NOTHING:
            self._tokens = tokens - cost
            self._bytes = room - size
            return 0.0
        self._tokens = tokens
        self._bytes = room
        return self._refuse(rates, now, size, cost)

    def is_new(self, rates: Rates, now: float) -> bool:
        """Whether a new bucket would decide the same from now on: this one is full, and nobody was told to wait."""
        elapsed = now - self._at
        full = self._tokens + elapsed * rates.messages >= rates.burst or not rates.messages
        full_of_bytes = self._bytes + elapsed * rates.bytes >= rates.bytes_burst or not rates.bytes
        refused = self._refused
        waited = refused is None or now > max(refused.due, refused.bytes_due) + _GIVEN_UP
        return full and full_of_bytes and waited

    def charge(self, cost: float) -> None:
        """Spend `cost` more messages, for work that an accepted message has caused."""
        self._tokens -= cost

    @property
    def exhausted(self) -> bool:
        """Whether the client went on sending for too long while it was told to wait."""
        return self._refused is not None and self._refused.excess >= MAX_EXCESS

    def _refuse(self, rates: Rates, now: float, size: int, cost: float) -> float:
        refused = self._refused
        if refused is None:
            refused = self._refused = _Refused(now)
        worth, at = 0.0, now
        if rates.messages:
            worth = cost / rates.messages
            at = max(refused.due, now + (1.0 - self._tokens) / rates.messages)
            refused.due = at + worth
        if rates.bytes:
            share = size / rates.bytes
            bytes_at = max(refused.bytes_due, now - self._bytes / rates.bytes)
            refused.bytes_due = bytes_at + share
            worth, at = max(worth, share), max(at, bytes_at)
        refused.count(worth, size, cost, now)
        return at - now

    def _full(self, tokens: float, rates: Rates, now: float) -> float:
        """The tokens of a bucket that holds `tokens`, more than fit in. A client that was told to wait may be late."""
        refused = self._refused
        if refused is None or now > refused.due + _LATE:
            return rates.burst
        if tokens - rates.burst > rates.messages * _GIVEN_UP:
            refused.due = now - _LATE
            return rates.burst
        return min(tokens, rates.burst + rates.messages * _LATE)

    def _full_of_bytes(self, room: float, rates: Rates, now: float) -> float:
        if self._refused is not None and room - rates.bytes_burst > rates.bytes * _GIVEN_UP:
            self._refused.bytes_due = now
        return rates.bytes_burst
