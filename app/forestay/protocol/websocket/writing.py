"""Encodes WebSocket frames as a server sends them.

A frame from a server has no mask (RFC 6455 §5.1), so the same bytes serve all members of a room.
"""

from struct import pack
from typing import Final

from forestay.protocol.codes import Ending

TEXT: Final = 0x81
"""The first byte of an unfragmented text frame."""
BINARY: Final = 0x82
"""The first byte of an unfragmented binary frame."""
_CLOSE: Final = 0x88
_PONG: Final = 0x8A

PING_FRAME: Final = b"\x89\x00"
"""A ping without data."""

# A control frame holds at most 125 bytes, and two of them are the close code (RFC 6455 §5.5).
_MAX_REASON: Final = 123


def frame(opcode: int, payload: bytes) -> bytes:
    """One unfragmented, unmasked frame. `opcode` includes the FIN bit."""
    size = len(payload)
    if opcode == TEXT and size < _USUAL:
        return _TEXT_HEADS[size] + payload
    return _head(opcode, size) + payload


def text_frame(text: bytes) -> bytes:
    """`text` as a text frame."""
    return frame(TEXT, text)


def _head(opcode: int, size: int) -> bytes:
    """What stands in front of `size` bytes of payload."""
    if size < 126:
        return pack("!BB", opcode, size)
    if size < 65536:
        return pack("!BBH", opcode, 126, size)
    return pack("!BBQ", opcode, 127, size)


# Bytes of a text up to which its head is made beforehand: most messages are not longer.
_USUAL: Final = 1024
_TEXT_HEADS: Final = [_head(TEXT, size) for size in range(_USUAL)]


def pong_frame(data: bytes) -> bytes:
    """A pong with the data of the client's ping."""
    return frame(_PONG, data)


def close_frame(ending: Ending) -> bytes:
    """A close frame; a longer reason is cut to what a control frame can hold."""
    reason = ending.reason.encode()[:_MAX_REASON].decode(errors="ignore").encode()
    return frame(_CLOSE, pack("!H", ending.code) + reason)
