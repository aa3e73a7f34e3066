"""The payloads of long polling: several packets in one HTTP body, binary ones in base64.

What waits for a poll is kept as WebSocket frames, because the same bytes may go to a whole room.
"""

import binascii
from collections.abc import Iterable, Iterator
from typing import Final

from forestay.protocol.engineio.packets import Malformed
from forestay.protocol.websocket import BINARY, TEXT

_SEPARATOR: Final = "\x1e"
_BINARY: Final = "b"


def read_payload(body: bytes) -> Iterator[str | bytes]:
    """The packets of a POST, one at a time: texts with their type, and binary messages. Raises Malformed."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Malformed("the payload is not UTF-8") from None
    start = 0
    while start <= len(text):
        end = text.find(_SEPARATOR, start)
        if end < 0:
            end = len(text)
        packet = text[start:end]
        yield _from_base64(packet[1:]) if packet.startswith(_BINARY) else packet
        start = end + 1


def write_payload(chunks: Iterable[bytes]) -> bytes:
    """The body that answers a poll. `chunks`: finished frames of a server, any number in each."""
    return _SEPARATOR.encode().join(packet for chunk in chunks for packet in packets_in(chunk))


def packets_in(frames: bytes) -> Iterator[bytes]:
    """The packets that are in `frames`. Frames that are no messages, such as a close frame, have none."""
    at, end = 0, len(frames)
    while at < end:
        opcode, size = frames[at], frames[at + 1]
        at += 2
        if size > 125:
            field = 2 if size == 126 else 8
            size = int.from_bytes(frames[at : at + field], "big")
            at += field
        if opcode == TEXT:
            yield frames[at : at + size]
        elif opcode == BINARY:
            yield b"b" + binascii.b2a_base64(frames[at : at + size], newline=False)
        at += size


def _from_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True) if text else b""
    except ValueError:
        raise Malformed("a binary packet is not base64") from None
