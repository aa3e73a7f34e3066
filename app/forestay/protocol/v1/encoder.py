"""Encodes replies and room messages as finished WebSocket frames.

A frame from a server has no mask (RFC 6455 §5.1), so the same bytes serve all members of a room.
"""

from collections.abc import Callable
from struct import pack
from typing import Final

from forestay.protocol.codes import Ending
from forestay.protocol.v1.texts import LARGEST, Texts
from forestay.protocol.wire import Liveness

_TEXT: Final = 0x81
_BINARY: Final = 0x82
_CLOSE: Final = 0x88
_PONG: Final = 0x8A

# A control frame holds at most 125 bytes, and two of them are the close code (RFC 6455 §5.5).
_MAX_REASON: Final = 123


def frame(opcode: int, payload: bytes) -> bytes:
    """One unfragmented, unmasked frame. `opcode` includes the FIN bit."""
    size = len(payload)
    if size < 126:
        return pack("!BB", opcode, size) + payload
    if size < 65536:
        return pack("!BBH", opcode, 126, size) + payload
    return pack("!BBQ", opcode, 127, size) + payload


def text_frame(text: bytes) -> bytes:
    """`text` as a text frame. It is `frame`, without a second call for each message."""
    size = len(text)
    if size < 126:
        return pack("!BB", _TEXT, size) + text
    if size < 65536:
        return pack("!BBH", _TEXT, 126, size) + text
    return pack("!BBQ", _TEXT, 127, size) + text


class Encoder(Texts):
    """Protocol version 1 over WebSocket: JSON in text frames, binary messages as they came."""

    name: Final = "v1"
    liveness: Final = Liveness.ANSWERED
    relocates: Final = True
    tailed: Final = False

    def __init__(self, clock: Callable[[], float], largest: int = LARGEST) -> None:
        """`clock`: Unix seconds, for the `timestamp` of replies. `largest`: bytes of a message; pages are cut to it."""
        super().__init__(clock, largest, text_frame)

    def binary(self, payload: bytes) -> bytes:
        """A binary frame."""
        return frame(_BINARY, payload)

    def ping(self) -> bytes:
        """A ping frame without data."""
        return b"\x89\x00"

    def pong(self, data: bytes) -> bytes:
        """A pong frame with the data of the client's ping."""
        return frame(_PONG, data)

    def close(self, ending: Ending) -> bytes:
        """A close frame; a longer reason is cut to what a control frame can hold."""
        reason = ending.reason.encode()[:_MAX_REASON].decode(errors="ignore").encode()
        return frame(_CLOSE, pack("!H", ending.code) + reason)
