"""Takes the mask off the payloads of clients in Python (RFC 6455 §5.3). `forestay.speedups` does the same in C."""

from typing import Final

_WHOLE_TEXT: Final = 0x81
_MASKED: Final = 0x80
# The second byte of a frame with a mask whose length has two bytes of its own.
_MEDIUM: Final = 0xFE


def unmask(data: bytes | bytearray, at: int, size: int, /) -> bytes:
    """The payload of `size` bytes whose mask begins at `at`, and which follows its mask."""
    if not size:
        return b""
    begin = at + 4
    mask = (bytes(data[at:begin]) * (size // 4 + 1))[:size]
    payload = int.from_bytes(data[begin : begin + size], "little") ^ int.from_bytes(mask, "little")
    return payload.to_bytes(size, "little")


def whole_text(data: bytes, most: int, /) -> bytes | None:
    """The text in `data`, where that is one whole text frame with a mask and nothing else.

    None where it is anything else, where its length has eight bytes, and where the text has more than `most` bytes or
    is not UTF-8.
    """
    size = len(data) - 6
    if size < 0 or data[0] != _WHOLE_TEXT:
        return None
    at = 2
    if data[1] == _MEDIUM:
        at, size = 4, size - 2
        if size < 126 or data[2] << 8 | data[3] != size:
            return None
    elif size > 125 or data[1] != _MASKED | size:
        return None
    if size > most:
        return None
    text = unmask(data, at, size)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    return text
