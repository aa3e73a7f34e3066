"""What RFC 6455 says must happen after a client's bytes: a second opinion in a hundred lines, slow and literal.

It reads a complete stream. It shares nothing with the reader under test but the caps, and the verdict on close codes
that are this project's own.
"""

from dataclasses import dataclass, field
from typing import Final

from forestay.protocol.codes import answer_to_close
from tests.conformance.wire import BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, masked

LARGEST: Final = 65536
"""Bytes of one message, as in the default settings."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a stream must end."""

    codes: frozenset[int] = frozenset()
    """The correct close codes; none where the connection must stay open."""
    waits: bool = False
    """The stream stops inside a frame, so there is no verdict yet."""


class _Broken(Exception):
    def __init__(self, *codes: int) -> None:
        self.codes = frozenset(codes)


class _Waits(Exception):
    pass


@dataclass(slots=True)
class _Stream:
    data: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise _Waits
        self.at += size
        return self.data[self.at - size : self.at]


@dataclass(slots=True)
class _Assembly:
    """The fragmented message in progress, if any."""

    kind: int | None = None
    parts: bytearray = field(default_factory=bytearray)


def judge(data: bytes, largest: int = LARGEST) -> Verdict:
    """What must happen to a connection on which the client sends only `data` after the handshake."""
    stream, assembly = _Stream(data), _Assembly()
    try:
        while stream.at < len(stream.data):
            code = _frame(stream, assembly, largest)
            if code is not None:
                # Bytes after a close frame stay unread. Unread bytes make the system reset the connection, so the
                # client, whose fault it is (§5.5.1), may not see our answer.
                return Verdict(frozenset({code} if stream.at == len(stream.data) else {code, 1006}))
    except _Broken as broken:
        return Verdict(broken.codes)
    except _Waits:
        return Verdict(waits=True)
    return Verdict()


def _frame(stream: _Stream, assembly: _Assembly, largest: int) -> int | None:
    """Reads one frame. Returns the answer's code if it was a close frame."""
    first, second = stream.take(2)
    if not second & 0x80:
        raise _Broken(1002)
    opcode, size = first & 0xF, second & 0x7F
    if first & 0x70 or opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        raise _Broken(1002)
    control = opcode >= CLOSE
    if control and (not first & FIN or size > 125):
        raise _Broken(1002)
    if size >= 126:
        size = int.from_bytes(stream.take(2 if size == 126 else 8))
    if size >= 2**63:
        # §5.2: the most significant bit MUST be 0. The message is also too big, so both codes are right.
        raise _Broken(1002, 1009)
    if not control and size + len(assembly.parts) > largest:
        # If the fragment is out of place as well, either code is right.
        raise _Broken(1009, 1002) if (opcode == CONTINUATION) is (assembly.kind is None) else _Broken(1009)
    mask = stream.take(4)
    payload = masked(mask, stream.take(size))
    if control:
        return _close(payload) if opcode == CLOSE else None
    _data(first, opcode, payload, assembly)
    return None


def _data(first: int, opcode: int, payload: bytes, assembly: _Assembly) -> None:
    if (opcode == CONTINUATION) is (assembly.kind is None):
        raise _Broken(1002)
    if assembly.kind is None:
        assembly.kind = opcode
    assembly.parts += payload
    if first & FIN:
        if assembly.kind == TEXT:
            _decoded(bytes(assembly.parts))
        assembly.kind = None
        assembly.parts.clear()


def _close(payload: bytes) -> int:
    if len(payload) == 1:
        raise _Broken(1002)
    code = int.from_bytes(payload[:2])
    answer = answer_to_close(code)
    if payload and code == 0:
        answer = 1002
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        # Two faults if the code is wrong as well.
        raise _Broken(1007, *([1002] if answer == 1002 else [])) from None
    return answer


def _decoded(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise _Broken(1007) from None
