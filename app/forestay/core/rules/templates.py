"""Templates of room names: `chat.{0.room}` takes a part of the name from the arguments of an event."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import LONGEST, RoomName, escape, escaped, parse_room

_PLACE = re.compile(r"\{([^{}]*)\}")
_PATH = re.compile(r"[0-9]{1,3}(?:\.[^.]+)*", re.ASCII).fullmatch
_MOST_PLACES: Final = 16

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_value = msgspec.json.Decoder(str | int | float).decode


class Template:
    """A room name with places in braces: the number of an argument, then names of fields, with dots between them."""

    __slots__ = ("_pieces", "_prefix", "text")

    def __init__(self, text: str, prefix: str = "") -> None:
        """`prefix`: what the name begins with, escaped. Raises ValueError where `text` is no template."""
        pieces = _PLACE.split(text)
        for path in pieces[1::2]:
            if not _PATH(path):
                raise ValueError(f"{{{path}}} is not the number of an argument and then fields, as {{0}} or {{0.room}}")
        if len(pieces) > 2 * _MOST_PLACES:
            raise ValueError(f"a room has at most {_MOST_PLACES} places in braces")
        example = "x".join(pieces[::2])
        if parse_room(prefix + example) is None:
            meant = None if {"%", "{", "}"} & set(example) else escape(example)
            hint = f"; write {meant}" if meant and meant != example and len(pieces) == 1 else ""
            raise ValueError(f"{text!r} makes no room name{hint}")
        self.text = text
        self._prefix = prefix
        # Each literal piece, and after it the path of a value; the last piece has none.
        paths = [tuple(path.split(".")) for path in pieces[1::2]]
        self._pieces = list(zip(pieces[::2], [*paths, ()], strict=True))

    def room(self, arguments: Sequence[Raw]) -> RoomName:
        """The room for an event with these arguments. Raises Refusal."""
        name = self._prefix
        for literal, path in self._pieces:
            name += literal
            if path:
                name += escaped(self._value(arguments, path), first=not name)
        if len(name) > LONGEST:
            fault = f"it has {len(name)} characters, and a room's name at most {LONGEST}"
            raise Refusal(ErrorCode.INVALID_ROOM, f"the room of this event comes from {self.text!r}: {fault}")
        return RoomName(name)

    def _value(self, arguments: Sequence[Raw], path: Sequence[str]) -> str:
        """The text at `path`, which is not empty. Raises Refusal."""
        number = int(path[0])
        try:
            raw = arguments[number]
            for field in path[1:]:
                raw = _decode_fields(raw)[field]
            text = _as_text(_decode_value(raw))
        except (IndexError, KeyError, OverflowError, msgspec.DecodeError):
            text = ""
        if not text:
            place = "{" + ".".join(path) + "}"
            fault = f"{place} must be a number or a string that is not empty"
            raise Refusal(ErrorCode.BAD_MESSAGE, f"the room of this event comes from {self.text!r}: {fault}")
        return text


def _as_text(value: str | float) -> str:
    """`value` as JavaScript writes it, whose clients choose rooms in this way."""
    if isinstance(value, str):
        return value
    number = float(value)
    if number.is_integer() and abs(number) < 1e21:
        return str(int(value))
    return repr(number).replace("e-0", "e-")
