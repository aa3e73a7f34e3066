"""Reads the frames of a client and puts its messages together (RFC 6455 §5): bytes in, events out.

A frame:    waits for                what is checked once it is there
head        2 bytes                  mask, reserved bits, opcode, place among the fragments, length of a control frame;
                                     RSV1 may only be in the first frame of a message, where compression is agreed on
length      6, 8 or 14 bytes         the size of the message so far
payload     all of it                once a message is complete, that it can be inflated, and UTF-8 of a text; the code
                                     and the reason of a close frame

A message:  a data frame that may come            what comes of it
none        a text or binary frame with FIN       a message, and none again
none        a text or binary frame without FIN    a part of a message
a part      a continuation without FIN            a part
a part      a continuation with FIN               a message, and none again

All else breaks the protocol. Control frames come at any time, and change nothing of this.
"""

from enum import Enum
from typing import Final, NamedTuple

from forestay.protocol.codes import ENDINGS, CloseCode, Ending, answer_to_close
from forestay.protocol.deflate.inflating import Inflater, Uninflatable, largest_deflated
from forestay.protocol.websocket.unmasking import text_at, unmask

_FIN: Final = 0x80
_RESERVED: Final = 0x70
_DEFLATED: Final = 0x40
"""RSV1: the message is deflated (RFC 7692 §6)."""
_OPCODE: Final = 0x0F
_CONTROL: Final = 0x08
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F

_TEXT: Final = 1
_OPCODES: Final = frozenset({0, 1, 2, 8, 9, 10})
_BEGIN_MESSAGES: Final = (1, 2)
_CLOSE: Final = 8
_PING: Final = 9

# Bytes of a head: the shortest part that can be judged, and a whole one, by the length in its second byte.
_JUDGED: Final = 2
_SHORT: Final = 6
_MEDIUM: Final = 8
_LONG: Final = 14
_LENGTH_IN_TWO: Final = 126
_LENGTH_IN_EIGHT: Final = 127
_MOST_OF_CONTROL: Final = 125

# Codes from here on belong to libraries and applications. Those that nobody may send get an answer of their own.
_FIRST_FREE_CODE: Final = 3000

_BROKEN: Final = ENDINGS[CloseCode.PROTOCOL_ERROR]
_NO_UTF8: Final = ENDINGS[CloseCode.INVALID_TEXT]
_TOO_BIG: Final = ENDINGS[CloseCode.MESSAGE_TOO_BIG]
_TOO_MANY: Final = Ending(CloseCode.POLICY_VIOLATION, "too many fragments in one message")


class Kind(Enum):
    """What a client has sent."""

    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Event(NamedTuple):
    """A whole message, or a control frame."""

    kind: Kind
    data: bytes
    """A text is valid UTF-8. The reason of a close frame is left out."""
    code: int = 0
    """Of a close frame; 0 where it has none."""


class Violation(Exception):
    """A client broke the protocol or a limit. Nothing more is read from it."""

    def __init__(self, ending: Ending) -> None:
        """`ending`: what it is told."""
        super().__init__(ending.reason)
        self.ending = ending


class FrameReader:
    """Reads the frames of one client."""

    __slots__ = (
        "_at",
        "_buffer",
        "_deflated",
        "_fragments",
        "_inflater",
        "_most_bytes",
        "_most_deflated",
        "_most_fragments",
        "_need",
        "_opcode",
        "_parts",
    )

    def __init__(self, most_bytes: int, most_fragments: int, inflater: Inflater | None = None) -> None:
        """What one message may have. `inflater`: where compression is agreed on, for the same size of a message."""
        self._most_bytes = most_bytes
        self._most_deflated = largest_deflated(most_bytes)
        self._most_fragments = most_fragments
        self._inflater = inflater
        self._buffer: bytes | bytearray = b""
        self._at = 0
        """Where the next frame begins in the buffer."""
        self._need = _JUDGED
        """Bytes of the next frame without which there is nothing new to see."""
        self._opcode = 0
        """Of the message of which a part has come; 0 where there is none."""
        self._deflated = False
        """Whether that message is deflated."""
        self._parts = bytearray()
        self._fragments = 0

    @property
    def waiting(self) -> int:
        """Bytes that were fed and are not read."""
        return len(self._buffer) - self._at

    @property
    def whole(self) -> bool:
        """Whether nothing of a frame or of a message is here whose rest is missing."""
        return not self._opcode and self._at == len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take what the client has sent. `next` reads it."""
        rest = self._buffer
        if self._at == len(rest):
            self._buffer = data
        elif isinstance(rest, bytearray):
            del rest[: self._at]
            rest += data
        else:
            self._buffer = bytearray(rest[self._at :])
            self._buffer += data
        self._at = 0

    def text(self) -> bytes | None:
        """The next message, where it is a text in one frame that is here. None: see `next`, which is asked then.

        Nearly all messages are such texts, and an Event for each costs more than the rest of reading them.
        """
        if self._opcode:
            return None
        text = text_at(self._buffer, self._at, self._most_bytes)
        if text is None:
            return None
        size = len(text)
        self._at += size + (_SHORT if size < _LENGTH_IN_TWO else _MEDIUM)
        self._need = _JUDGED
        if self._at == len(self._buffer):
            self._buffer, self._at = b"", 0
        return text

    def next(self) -> Event | None:
        """What comes next; None where more bytes are needed. Raises Violation, once and for all."""
        buffer, at = self._buffer, self._at
        have = len(buffer) - at
        while have >= self._need:
            first, second = buffer[at], buffer[at + 1]
            self._judge(first, second)
            size = second & _LENGTH
            head = _SHORT if size < _LENGTH_IN_TWO else _MEDIUM if size == _LENGTH_IN_TWO else _LONG
            if have < head:
                self._need = head
                break
            if head != _SHORT:
                size = int.from_bytes(buffer[at + 2 : at + head - 4], "big")
            if not first & _CONTROL:
                most = self._most_deflated if self._deflated or first & _DEFLATED else self._most_bytes
                if size > most - len(self._parts):
                    raise Violation(_TOO_BIG)
            if have < head + size:
                self._need = head + size
                break
            payload = unmask(buffer, at + head - 4, size)
            at += head + size
            have -= head + size
            self._need = _JUDGED
            self._at = at
            if not have:
                self._buffer, self._at = b"", 0
            event = self._frame(first, payload)
            if event is not None:
                return event
        return None

    def _judge(self, first: int, second: int) -> None:
        """Raises Violation where a frame must not begin with these two bytes here."""
        opcode = first & _OPCODE
        if second < _MASKED or opcode not in _OPCODES:
            raise Violation(_BROKEN)
        reserved = first & _RESERVED
        if reserved and (reserved != _DEFLATED or self._inflater is None or opcode not in _BEGIN_MESSAGES):
            raise Violation(_BROKEN)
        if opcode & _CONTROL:
            if not first & _FIN or second & _LENGTH > _MOST_OF_CONTROL:
                raise Violation(_BROKEN)
            return
        if (not opcode) is (not self._opcode):
            # A continuation of nothing, or a message within another one.
            raise Violation(_BROKEN)
        if not first & _FIN and self._fragments >= self._most_fragments:
            raise Violation(_TOO_MANY)

    def _frame(self, first: int, payload: bytes) -> Event | None:
        """The event that a whole frame makes; None where it is a part of a message."""
        opcode = first & _OPCODE
        if opcode & _CONTROL:
            return _control(opcode, payload)
        if opcode and first & _FIN:
            return self._message(opcode, payload, deflated=bool(first & _DEFLATED))
        if opcode:
            self._opcode, self._deflated = opcode, bool(first & _DEFLATED)
        self._parts += payload
        if not first & _FIN:
            self._fragments += 1
            return None
        opcode, self._opcode = self._opcode, 0
        data, self._parts = bytes(self._parts), bytearray()
        deflated, self._deflated = self._deflated, False
        self._fragments = 0
        return self._message(opcode, data, deflated=deflated)

    def _message(self, opcode: int, data: bytes, *, deflated: bool) -> Event:
        """The event of a whole message."""
        if deflated and self._inflater is not None:
            try:
                data = self._inflater.inflate(data)
            except Uninflatable as uninflatable:
                raise Violation(uninflatable.ending) from None
        if opcode != _TEXT:
            return Event(Kind.BINARY, data)
        if not data.isascii():
            _check_utf8(data)
        return Event(Kind.TEXT, data)


def _control(opcode: int, data: bytes) -> Event:
    if opcode != _CLOSE:
        return Event(Kind.PING if opcode == _PING else Kind.PONG, data)
    if not data:
        return Event(Kind.CLOSE, b"")
    code = int.from_bytes(data[:2], "big")
    if len(data) < 2 or (code < _FIRST_FREE_CODE and answer_to_close(code) != code):
        raise Violation(_BROKEN)
    _check_utf8(data[2:])
    return Event(Kind.CLOSE, b"", code)


def _check_utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise Violation(_NO_UTF8) from None
