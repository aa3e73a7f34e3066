"""The payloads of long polling: several packets in one HTTP body, binary ones in base64.

What waits for a poll is kept as WebSocket frames, because the same bytes may go to a whole room.
"""

import binascii
from collections.abc import Iterator, Sequence
from typing import Final

from forestay.protocol.engineio.packets import Malformed
from forestay.protocol.websocket.writing import BINARY, TEXT

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


def write_payload(chunks: Sequence[bytes], most: int = 0) -> tuple[bytes, list[bytes]]:
    """The body that answers a poll, and what is left of `chunks` for the next one.

    `chunks`: finished frames of a server, any number in each. `most`: packets in the body; 0: any number. Frames that
    are no messages, such as a close frame, are left out.
    """
    packets: list[bytes] = []
    for index, chunk in enumerate(chunks):
        for opcode, content, end in _frames(chunk):
            if opcode == TEXT:
                packets.append(content)
            elif opcode == BINARY:
                packets.append(b"b" + binascii.b2a_base64(content, newline=False))
            if len(packets) == most:
                rest = [chunk[end:], *chunks[index + 1 :]]
                return _join(packets), [each for each in rest if each]
    return _join(packets), []


def _join(packets: list[bytes]) -> bytes:
    return _SEPARATOR.encode().join(packets)


def _frames(chunk: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The frames of a server in `chunk`: the first byte and the content of each, and where it ends."""
    at = 0
    while at < len(chunk):
        opcode, size = chunk[at], chunk[at + 1]
        at += 2
        if size > 125:
            field = 2 if size == 126 else 8
            size = int.from_bytes(chunk[at : at + field], "big")
            at += field
        content = chunk[at : at + size]
        at += size
        yield opcode, content, at


def _from_base64(text: str) -> bytes:
    # The Java client, Android's too, breaks lines as in mail, and ends with a line break.
    joined = text.replace("\n", "").replace("\r", "")
    try:
        return binascii.a2b_base64(joined, strict_mode=True) if joined else b""
    except ValueError:
        raise Malformed("a binary packet is not base64") from None
