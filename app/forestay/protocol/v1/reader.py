"""Reads text messages of clients as requests.

Each text becomes a request or an `Unreadable`, which holds the refusal and repeats `id` and `room` where they could be
read. A payload must be JSON; it stays as it came, byte for byte.
"""

from typing import Final, get_args

import msgspec
from msgspec import Raw

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.depth import deeper_than
from forestay.protocol.requests import JsonRequest, Unreadable

_decode = msgspec.json.Decoder(JsonRequest).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_string = msgspec.json.Decoder(str).decode

REQUEST_TYPES: Final = frozenset(str(request.__struct_config__.tag) for request in get_args(JsonRequest))
"""The `type` of each request that comes as JSON."""


class Reader:
    """Reads texts with at most `max_depth` nested arrays and objects."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth

    def read(self, text: str) -> JsonRequest:
        """The request in `text`. Raises Unreadable."""
        try:
            if deeper_than(text, self._max_depth):
                raise RecursionError
            return _request(text)
        # A wrong field is reported before the rest is parsed, so only the second parse knows whether it is JSON at all.
        except msgspec.DecodeError as error:
            raise Unreadable(Refusal(ErrorCode.BAD_JSON, f"not valid JSON: {error}")) from None
        except RecursionError:
            message = f"nested deeper than {self._max_depth} arrays and objects"
            raise Unreadable(Refusal(ErrorCode.TOO_DEEP, message)) from None


def _request(text: str) -> JsonRequest:
    """Raises Unreadable, DecodeError where `text` is not JSON, or RecursionError."""
    try:
        request: JsonRequest = _decode(text)
    except msgspec.ValidationError as error:
        return _explain(text, error)
    return request


def _explain(text: str, error: msgspec.ValidationError) -> JsonRequest:
    """Raises Unreadable with what is wrong with `text`. A bad trace context alone is dropped, and the rest is read."""
    try:
        fields = _decode_fields(text)
    except msgspec.ValidationError:
        raise Unreadable(Refusal(ErrorCode.BAD_MESSAGE, "a message is a JSON object")) from None
    kind, id, room = (_string(fields.get(name)) for name in ("type", "id", "room"))
    if id is not None and len(id) > 64:
        id = None
    if kind is not None and kind not in REQUEST_TYPES:
        refusal = Refusal(ErrorCode.UNKNOWN_TYPE, f"unknown type; the types are {', '.join(sorted(REQUEST_TYPES))}")
        raise Unreadable(refusal, id, room) from None
    dropped = [name for name in ("traceparent", "tracestate") if name in fields and _string(fields[name]) is None]
    if dropped:
        for name in dropped:
            del fields[name]
        try:
            request: JsonRequest = _decode(msgspec.json.encode(fields))
        except msgspec.ValidationError as other:
            error = other
        else:
            return request
    raise Unreadable(Refusal(ErrorCode.BAD_MESSAGE, str(error)), id, room) from None


def wire_size(text: str) -> int:
    """Bytes of a message in UTF-8. Python stores whether a text is ASCII, so most texts need no encoding."""
    return len(text) if text.isascii() else len(text.encode())


def _string(raw: Raw | None) -> str | None:
    try:
        return None if raw is None else _decode_string(raw)
    except msgspec.DecodeError:
        return None
