"""The form of an envelope: its fields in their order, and their MessagePack.

The form is shared with other releases. New fields come at the end.
"""

from typing import Final

import msgspec
from msgspec import Struct

from forestay.protocol.message import Kind


class Form(Struct, array_like=True, omit_defaults=False):
    room: str
    payload: bytes
    timestamp: str
    sender: str | None = None
    binary: bool = False
    exclude: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    kind: Kind = Kind.BROADCAST


class EventForm(Form):
    event: str | None = None
    binary_at: str = ""


_Value = str | int | float | bool | None


class ExtendedForm(Form):
    """The form with what newer pods may add. No field has a type that nests, so the parser never recurses."""

    added_1: _Value = None
    added_2: _Value = None
    added_3: _Value = None
    added_4: _Value = None
    added_5: _Value = None
    added_6: _Value = None


MOST_FIELDS: Final = 15
"""Of `ExtendedForm`. The parser would skip a value without a field, however deep it nests, and it recurses to skip."""

pack = msgspec.msgpack.Encoder().encode
"""The MessagePack of a form."""
unpack = msgspec.msgpack.Decoder(ExtendedForm).decode
"""The form in MessagePack. Raises MsgspecError and UnicodeDecodeError."""
