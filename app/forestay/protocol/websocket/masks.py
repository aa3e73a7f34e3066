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
    mask, size = _text_frame(data, 0)
    if size < 0 or mask + 4 + size != len(data) or size > most:
        return None
    return _text(data, mask, size)


def text_at(data: bytes | bytearray, at: int, most: int, /) -> bytes | None:
    """The same for the text frame that begins at `at`, whatever follows it. Raises ValueError behind the data."""
    if not 0 <= at <= len(data):
        raise ValueError("the frame begins behind the data")
    mask, size = _text_frame(data, at)
    return None if size < 0 or size > most else _text(data, mask, size)


def _text_frame(data: bytes | bytearray, at: int) -> tuple[int, int]:
    """The place of the mask and the bytes of the text, where a whole text frame begins at `at`. Else -1 for both."""
    have = len(data) - at
    if have < 6 or data[at] != _WHOLE_TEXT:
        return -1, -1
    if data[at + 1] == _MEDIUM:
        size = data[at + 2] << 8 | data[at + 3]
        return (at + 4, size) if 126 <= size <= have - 8 else (-1, -1)
    size = data[at + 1] - _MASKED
    return (at + 2, size) if 0 <= size <= min(125, have - 6) else (-1, -1)


def _text(data: bytes | bytearray, mask: int, size: int) -> bytes | None:
    text = unmask(data, mask, size)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    return text
