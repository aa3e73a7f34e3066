"""Reads the timestamps of messages as Unix seconds. What it has read of a second, it needs not read again."""

from typing import Final

from forestay.protocol.timestamps import unix_seconds

_MILLISECONDS: Final = {f"{ms:03}Z": float(ms) for ms in range(1000)}
_EPOCH: Final = "1970-01-01T00:00:00."


class StampReader:
    __slots__ = ("_second", "_second_ms")

    def __init__(self) -> None:
        self._second = _EPOCH
        """The last second of which a timestamp was read, up to its dot."""
        self._second_ms = 0.0

    def unix_seconds(self, timestamp: str) -> float | None:
        """`timestamp` as seconds since 1970; None where it is no timestamp."""
        ms = _MILLISECONDS.get(timestamp[len(_EPOCH) :])
        if ms is None:
            # It has another form.
            return unix_seconds(timestamp)
        if not timestamp.startswith(self._second):
            found = unix_seconds(timestamp)
            if found is None:
                return None
            self._second, self._second_ms = timestamp[: len(_EPOCH)], float(round(found * 1000.0 - ms))
        return (self._second_ms + ms) / 1000.0
