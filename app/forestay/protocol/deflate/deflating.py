"""Deflates messages, each alone, where that makes them smaller."""

from typing import Final
from zlib import DEFLATED, Z_SYNC_FLUSH, compressobj

_TAIL: Final = 4
"""Bytes at the end of each flush, `00 00 ff ff`. They are not sent (RFC 7692 §7.2.1)."""

# How far zlib looks ahead: its window holds so many bytes less than its size.
_AHEAD: Final = 262

# zlib makes its tables anew for each message, which costs more than a small message itself. They fit the message.
_LEAST_MEMORY, _MOST_MEMORY = 4, 8

# Up to so many bytes the level costs next to nothing. Above that the fastest level takes a quarter of the time, for a
# sixth more bytes.
_SMALL: Final = 16 * 1024
_THOROUGH, _FAST = 6, 1

LARGEST: Final = 2**20
"""Bytes of the largest message that is deflated. Deflating it takes as long as the writes to 1,000 members."""


class Traffic:
    """The bytes that were deflated or inflated: all of them, before or after it. Each message counts once."""

    __slots__ = ("compressed", "plain")

    def __init__(self) -> None:
        self.plain = 0
        self.compressed = 0


class Deflater:
    """Deflates for all clients that have the same window."""

    def __init__(self, window: int, least: int, traffic: Traffic) -> None:
        """`window`: bits, 9 to 15. `least`: bytes of the smallest message that is deflated."""
        self._window = window
        self._least = least
        self._traffic = traffic

    def deflate(self, message: bytes | memoryview) -> bytes | None:
        """`message` in fewer bytes, or None where it stays as it is."""
        size = len(message)
        if not self._least <= size <= LARGEST:
            return None
        window = min(self._window, max(9, (size + _AHEAD).bit_length()))
        memory = max(_LEAST_MEMORY, min(_MOST_MEMORY, window - 7))
        stream = compressobj(_THOROUGH if size <= _SMALL else _FAST, DEFLATED, -window, memory)
        deflated = stream.compress(message) + stream.flush(Z_SYNC_FLUSH)
        small = len(deflated) - _TAIL
        if small >= size:
            return None
        self._traffic.plain += size
        self._traffic.compressed += small
        return deflated[:small]
