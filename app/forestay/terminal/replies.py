"""Reads what a server answers on a raw socket: frames, and the refusal of a handshake."""

import re
import socket
from collections.abc import Iterator
from typing import Final

from forestay.terminal.words import refusal

TEXT: Final = 1
CLOSE: Final = 8
"""Opcodes of frames."""

# Two bytes of header, and up to 125 bytes of body without a longer one.
_HEADER: Final = 2
_SHORT: Final = 125
_STATUS: Final = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d{1,9})\r?$", re.MULTILINE)
_LONGEST: Final = 65536
"""Bytes of a problem document."""


def frames(one: socket.socket, had: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields the opcode and the body of each frame. `had`: what was read already. Raises RuntimeError at the end."""
    data = had
    while True:
        while (frame := complete(data)) is None:
            more = one.recv(65536)
            if not more:
                raise RuntimeError("the server closed the connection without a word")
            data += more
        opcode, body, data = frame
        yield opcode, body


def complete(data: bytes) -> tuple[int, bytes, bytes] | None:
    """The opcode and the body of the first frame, and the data after it. None while it is not complete."""
    if len(data) < _HEADER:
        return None
    size, start = data[1], 2
    if size > _SHORT:
        start += 2 if size == _SHORT + 1 else 8
        size = int.from_bytes(data[2:start])
    return (data[0] & 15, data[start : start + size], data[start + size :]) if len(data) >= start + size else None


def refused(one: socket.socket, head: bytes, body: bytes) -> str:
    """Reads the rest of the answer to a refused handshake. Returns what it says."""
    status, length = _STATUS.match(head), _LENGTH.search(head)
    if status is None:
        return "the server did not answer as an HTTP server does; is it the right port?"
    missing = int(length[1]) if length else 0
    while len(body) < min(missing, _LONGEST) and (more := one.recv(65536)):
        body += more
    return refusal(int(status[1]), body)
