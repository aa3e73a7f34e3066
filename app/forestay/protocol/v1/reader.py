"""Reads text messages of clients as requests.

Each text becomes a request or an `Unreadable`, which holds the refusal and repeats `id` and `room` where they could be
read. A payload must be JSON; it stays as it came, byte for byte.
"""

from collections.abc import Mapping
from typing import Final, get_args

import msgspec
from msgspec import Raw

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.depth import deeper_than
from forestay.protocol.requests import MAX_ID, Join, JoinMany, JsonRequest, RoomToJoin, Unreadable
from forestay.protocol.v1.salvage import decoded, salvage, search

_decode = msgspec.json.Decoder(JsonRequest).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_room = msgspec.json.Decoder(RoomToJoin).decode

REQUEST_TYPES: Final = frozenset(str(request.__struct_config__.tag) for request in get_args(JsonRequest))
"""The `type` of each request that comes as JSON."""

_TRACE: Final = ("traceparent", "tracestate")

_Fields = Mapping[str, object]
"""Values of fields by name."""


class Reader:
    """Reads texts with at most `max_depth` nested arrays and objects."""

    def __init__(self, max_depth: int, rooms_per_join: int) -> None:
        """`rooms_per_join`: the most rooms that one `join` may name."""
        self._max_depth = max_depth
        self._rooms_per_join = rooms_per_join

    def read(self, text: bytes) -> JsonRequest | JoinMany:
        """The request in `text`, which is valid UTF-8. Raises Unreadable."""
        try:
            if deeper_than(text, self._max_depth):
                raise RecursionError
            request: JsonRequest = _decode(text)
        # A wrong field is reported before the rest is parsed, so only the second parse knows whether it is JSON at all.
        except msgspec.ValidationError as error:
            return self._explain(text, error)
        except msgspec.DecodeError as error:
            raise _broken(text, Refusal(ErrorCode.BAD_JSON, f"not valid JSON: {error}")) from None
        except RecursionError:
            message = f"nested deeper than {self._max_depth} arrays and objects"
            raise _broken(text, Refusal(ErrorCode.TOO_DEEP, message)) from None
        return request

    def _explain(self, text: bytes, error: msgspec.ValidationError) -> JsonRequest | JoinMany:
        """Raises Unreadable with what is wrong with `text`. Reads a list of rooms, and drops a bad trace context."""
        try:
            raw = _decode_fields(text)
        except msgspec.ValidationError:
            raise Unreadable(Refusal(ErrorCode.BAD_MESSAGE, "a message is a JSON object")) from None
        except msgspec.DecodeError as other:
            raise _broken(text, Refusal(ErrorCode.BAD_JSON, f"not valid JSON: {other}")) from None
        fields = _values(raw)
        kind = _string(fields, "type")
        if kind is not None and kind not in REQUEST_TYPES:
            message = f"unknown type; the types are {', '.join(sorted(REQUEST_TYPES))}"
            raise _unreadable(ErrorCode.UNKNOWN_TYPE, message, fields) from None
        if kind == "join" and not _is_null(raw.get("rooms")):
            return self._join_many(raw, fields)
        dropped = [name for name in _TRACE if name in raw and not isinstance(decoded(raw[name]), str)]
        if dropped:
            kept = {name: value for name, value in raw.items() if name not in dropped}
            try:
                request: JsonRequest = _decode(msgspec.json.encode(kept))
            except msgspec.ValidationError as other:
                error = other
            else:
                return request
        raise _unreadable(ErrorCode.BAD_MESSAGE, str(error), fields) from None

    def _join_many(self, raw: Mapping[str, Raw], fields: _Fields) -> JoinMany:
        """The `join` with a list of rooms. A room that cannot be read is refused on its own. Raises Unreadable."""
        if not _is_null(raw.get("room")):
            raise _unreadable(ErrorCode.BAD_MESSAGE, "`join` has either `room` or `rooms`; send one of them", fields)
        if not _is_null(raw.get("since")):
            message = 'with `rooms`, `since` stands beside each room: {"rooms": [{"room": …, "since": …}]}'
            raise _unreadable(ErrorCode.BAD_MESSAGE, message, fields)
        if (wrong := _wrong_id(fields)) is not None:
            raise _unreadable(ErrorCode.BAD_MESSAGE, wrong, fields)
        try:
            rooms = _decode_list(raw["rooms"])
        except msgspec.ValidationError:
            rooms = []
        if not rooms:
            message = '`rooms` is a list with at least one room: [{"room": …}, …]'
            raise _unreadable(ErrorCode.BAD_MESSAGE, message, fields)
        if len(rooms) > self._rooms_per_join:
            message = f"a join may name {self._rooms_per_join} rooms, and this one has {len(rooms)}; send several joins"
            raise _unreadable(ErrorCode.TOO_MANY_ROOMS, message, fields)
        id = _id(fields)
        return JoinMany(id, joins=[_one_of_many(room, id) for room in rooms])


def _one_of_many(raw: Raw, id: str | None) -> Join | Unreadable:
    try:
        read = _decode_room(raw)
    except msgspec.ValidationError as error:
        one = decoded(raw)
        room = _string(one, "room") if isinstance(one, dict) else None
        return Unreadable(Refusal(ErrorCode.BAD_MESSAGE, f"a room of `rooms`: {error}"), id, room)
    return Join(id, room=read.room, since=read.since)


def _broken(text: bytes, refusal: Refusal) -> Unreadable:
    """The refusal of a text that is not JSON, with what can be read of it."""
    # No parser sees what nests too deep.
    fields = search(text.decode()) if refusal.code is ErrorCode.TOO_DEEP else salvage(text.decode())
    return _unreadable(refusal.code, refusal.message, fields)


def _unreadable(code: ErrorCode, message: str, fields: _Fields) -> Unreadable:
    wrong = _wrong_id(fields)
    if wrong is not None and wrong != message:
        # The client waits for an answer with this `id`, and gets one without it. So it is told why.
        message = wrong if "`$.id`" in message else f"{message}; {wrong}"
    return Unreadable(Refusal(code, message), _id(fields), _string(fields, "room"))


def _values(fields: Mapping[str, Raw]) -> dict[str, object]:
    """The values of the fields that a refusal needs."""
    return {name: decoded(fields[name]) for name in ("id", "room", "type") if name in fields}


def _id(fields: _Fields) -> str | None:
    id = _string(fields, "id")
    return id if id is not None and len(id) <= MAX_ID else None


def _wrong_id(fields: _Fields) -> str | None:
    """What is wrong with the `id`; None where there is none, or a good one."""
    id = fields.get("id")
    if id is None:
        return None
    if not isinstance(id, str):
        got = _NAMES.get(type(id), "a number")
    elif len(id) <= MAX_ID:
        return None
    else:
        got = str(len(id))
    return f"`id` must be a string of at most {MAX_ID} characters; got {got}"


_NAMES: Final = {bool: "a boolean", list: "an array", dict: "an object", object: "a string that is not valid JSON"}


def _string(fields: _Fields, name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) else None


def _is_null(raw: Raw | None) -> bool:
    """Whether a field is missing or `null`, which is the same."""
    return raw is None or bytes(raw) == b"null"
