"""Text to requests; nothing malformed gets past here.

Whatever the text, the outcome is a request or an Unreadable that names the refusal and echoes `id` and `room` where
they could be read. Payloads are checked to be JSON and otherwise left as they came, byte for byte.
"""

from typing import Final

import msgspec
from msgspec import Raw

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.depth import deeper_than
from forestay.protocol.requests import Request

_decode = msgspec.json.Decoder(Request).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_string = msgspec.json.Decoder(str).decode

REQUEST_TYPES: Final = frozenset({"join", "leave", "broadcast", "ping", "pong", "bind", "presence", "history", "auth"})
"""Every `type` that a client may say."""


class Unreadable(Exception):
    """A message that is no request: the refusal, and what could be read of the envelope."""

    def __init__(self, refusal: Refusal, id: str | None = None, room: str | None = None) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.id = id
        self.room = room


class Reader:
    """Reads text messages of at most `max_depth` nested arrays and objects."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth

    def read(self, text: str) -> Request:
        """The request in `text`. Raises Unreadable."""
        try:
            if deeper_than(text, self._max_depth):
                raise RecursionError
            return _request(text)
        # What is of the wrong form in front may be no JSON at all further on: only the second look has seen all of it.
        except msgspec.DecodeError as error:
            raise Unreadable(Refusal(ErrorCode.BAD_JSON, f"not valid JSON: {error}")) from None
        except RecursionError:
            message = f"nested deeper than {self._max_depth} arrays and objects"
            raise Unreadable(Refusal(ErrorCode.TOO_DEEP, message)) from None


def _request(text: str) -> Request:
    """Raises Unreadable, DecodeError for what is no JSON, or RecursionError."""
    try:
        said: Request = _decode(text)
    except msgspec.ValidationError as error:
        return _explain(text, error)
    return said


def _explain(text: str, error: msgspec.ValidationError) -> Request:
    """What is wrong with JSON that is no request. A bad trace context alone is no wrong: it is dropped."""
    try:
        fields = _decode_fields(text)
    except msgspec.ValidationError:
        raise Unreadable(Refusal(ErrorCode.BAD_MESSAGE, "a message is a JSON object")) from None
    kind, id, room = (_string(fields.get(name)) for name in ("type", "id", "room"))
    if id is not None and len(id) > 64:
        id = None
    if kind is not None and kind not in REQUEST_TYPES:
        refusal = Refusal(ErrorCode.UNKNOWN_TYPE, f"no such type; there are {', '.join(sorted(REQUEST_TYPES))}")
        raise Unreadable(refusal, id, room) from None
    dropped = [name for name in ("traceparent", "tracestate") if name in fields and _string(fields[name]) is None]
    if dropped:
        for name in dropped:
            del fields[name]
        try:
            said: Request = _decode(msgspec.json.encode(fields))
        except msgspec.ValidationError as other:
            error = other
        else:
            return said
    raise Unreadable(Refusal(ErrorCode.BAD_MESSAGE, str(error)), id, room) from None


def wire_size(text: str) -> int:
    """Bytes of a message. Python knows without looking whether a text is ASCII, and most are."""
    return len(text) if text.isascii() else len(text.encode())


def _string(raw: Raw | None) -> str | None:
    try:
        return None if raw is None else _decode_string(raw)
    except msgspec.DecodeError:
        return None
