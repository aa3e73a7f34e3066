"""Inflates what clients send, with a bound on what comes out.

zlib stops when it has made one byte more than the largest message. So a small frame that would become a large one costs
no more than the largest message does.
"""

from typing import Final
from zlib import decompressobj, error

from forestay.protocol.codes import ENDINGS, CloseCode, Ending
from forestay.protocol.deflate.deflating import Traffic

# What the sender has cut off (RFC 7692 §7.2.2), and an empty last block. Only where zlib finds that block as one, the
# message was complete.
_TAIL: Final = b"\x00\x00\xff\xff\x03\x00"
_AFTER_LAST_BLOCK: Final = (b"\x00" + _TAIL, _TAIL)

_WINDOW: Final = 15
_HISTORY: Final = 2**_WINDOW

# A sender may end a block of its stream as the last one, and begin anew in the same message. Each costs a new window.
_MOST_STREAMS: Final = 16

# By how much a message may grow when it is deflated: what zlib adds to one that it cannot make smaller, and more.
_BESIDE: Final = 64
_SHARE: Final = 64

_CORRUPT: Final = Ending(CloseCode.INVALID_TEXT, "a compressed message cannot be inflated")
_PADDED: Final = Ending(CloseCode.POLICY_VIOLATION, "a message is much larger compressed than plain")


class Uninflatable(Exception):
    """A message of a client cannot be taken. `ending`: how its connection ends."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


def largest_deflated(size: int) -> int:
    """The most bytes that a message of `size` bytes may have when it is deflated."""
    return size + size // _SHARE + _BESIDE


class Inflater:
    """Inflates for all clients: no message needs anything of another one."""

    def __init__(self, largest: int, traffic: Traffic) -> None:
        """`largest`: bytes of the largest message, inflated."""
        self._largest = largest
        self._traffic = traffic

    def inflate(self, message: bytes) -> bytes:
        """The plain bytes of `message`, which is complete. Raises Uninflatable."""
        size = len(message)
        try:
            plain = self._inflated(message)
        except error:
            raise Uninflatable(_CORRUPT) from None
        if size > largest_deflated(len(plain)):
            # It would count as little against the rate, and has cost much.
            raise Uninflatable(_PADDED)
        self._traffic.compressed += size
        self._traffic.plain += len(plain)
        return plain

    def _inflated(self, message: bytes) -> bytes:
        """Raises Uninflatable and zlib.error."""
        if not message:
            return b""
        plain, rest = b"", message + _TAIL
        for _ in range(_MOST_STREAMS):
            stream = decompressobj(-_WINDOW, zdict=plain[-_HISTORY:]) if plain else decompressobj(-_WINDOW)
            # One byte more than there may be: a limit of 0 would mean none.
            plain += stream.decompress(rest, self._largest + 1 - len(plain))
            if len(plain) > self._largest:
                raise Uninflatable(ENDINGS[CloseCode.MESSAGE_TOO_BIG])
            if not stream.eof:
                break
            rest = stream.unused_data
            if not rest or rest in _AFTER_LAST_BLOCK:
                return plain
        raise Uninflatable(_CORRUPT)
