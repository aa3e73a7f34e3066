"""Writes and reads the timestamps of messages: RFC 3339 in UTC, with milliseconds."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_MILLISECONDS: Final = [f".{ms:03}Z" for ms in range(1000)]
# By the end of a timestamp, behind its dot.
_MS: Final = {f"{ms:03}Z": float(ms) for ms in range(1000)}
_EPOCH: Final = "1970-01-01T00:00:00."


class Stamps:
    """Writes the time of now, once for each millisecond."""

    __slots__ = ("_clock", "_ms", "_text")

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: Unix seconds."""
        self._clock = clock
        self._ms = -1
        self._text = ""

    def now(self) -> str:
        """The `timestamp` of what happens now."""
        ms = int(self._clock() * 1000)
        if ms != self._ms:
            self._ms, self._text = ms, timestamp(ms)
        return self._text


class StampReader:
    """Reads timestamps. What it has read of a second, it needs not read again."""

    __slots__ = ("_second", "_second_ms")

    def __init__(self) -> None:
        self._second = _EPOCH
        """The last second of which a timestamp was read, up to its dot."""
        self._second_ms = 0.0

    def unix_seconds(self, timestamp: str) -> float | None:
        """`timestamp` as seconds since 1970; None where it is no timestamp."""
        ms = _MS.get(timestamp[len(_EPOCH) :])
        if ms is None:
            # It has another form.
            return unix_seconds(timestamp)
        if not timestamp.startswith(self._second):
            found = unix_seconds(timestamp)
            if found is None:
                return None
            self._second, self._second_ms = timestamp[: len(_EPOCH)], float(round(found * 1000.0 - ms))
        return (self._second_ms + ms) / 1000.0


def timestamp(unix_ms: int) -> str:
    """`unix_ms` milliseconds since 1970 as RFC 3339 in UTC: `2026-11-22T12:00:00.123Z`."""
    return _up_to_the_second(unix_ms // 1000) + _MILLISECONDS[unix_ms % 1000]


def unix_seconds(timestamp: str) -> float | None:
    """`timestamp` as seconds since 1970; None where it is no timestamp."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=2)
def _up_to_the_second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")
