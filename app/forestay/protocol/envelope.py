"""Encodes messages for other pods as bytes, and decodes them without trust in the sender.

The first byte is the version. MessagePack with a schema follows. Newer pods may add fields at the end, which older ones
ignore: up to six, each a single value. The first two are `event` and `binary_at`, where a message has one of them. A
form that older pods could not read gets another version; they drop and count it.
"""

from typing import Final

import msgspec
from msgspec.structs import asdict

from forestay.protocol.envelope_form import MOST_FIELDS, EventForm, Form, pack, unpack
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName, is_ours, parse_room
from forestay.protocol.position import Position
from forestay.protocol.trace import parse_trace

VERSION: Final = b"\x01"

MAX_BYTES: Final = 17 * 2**20
"""More than the largest message that can be configured. A larger envelope did not come from a pod."""


class BadEnvelope(Exception):
    """Bytes from the bus that this release cannot read."""


_SHORT_FORMS: Final = frozenset(bytes([0x90 + fields]) for fields in range(MOST_FIELDS + 1))


def encode(message: Message) -> bytes:
    """`message` as bytes, without its position, which the bus gives."""
    trace = message.trace
    form: Form = Form(
        message.room,
        message.payload,
        message.timestamp,
        message.sender,
        message.binary,
        message.exclude,
        trace.traceparent if trace else None,
        trace.tracestate if trace else None,
        message.kind,
    )
    if message.event is not None or message.binary_at:
        form = EventForm(**asdict(form), event=message.event, binary_at=message.binary_at)
    return VERSION + pack(form)


def decode(data: bytes, position: Position | None = None, room: RoomName | None = None) -> Message:
    """The message in `data`, at `position`. `room`: the one that it has to be of. Raises BadEnvelope."""
    if data[:1] != VERSION:
        raise BadEnvelope(f"version {data[:1]!r}")
    if len(data) > MAX_BYTES:
        raise BadEnvelope("too large")
    if not _is_short_array(data[1:4]):
        raise BadEnvelope(f"not an array of at most {MOST_FIELDS} values")
    try:
        form = unpack(memoryview(data)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEnvelope(str(error)) from None
    if room is None:
        room = RoomName(form.room)
        if not (parse_room(room) or is_ours(room)):
            raise BadEnvelope("no room name")
    elif form.room != room:
        raise BadEnvelope("a message of another room")
    event, binary_at = form.added_1, form.added_2
    # A number is the time of a signature, and the text after it the signature.
    if not (event is None or isinstance(event, str)):
        event = binary_at = None
    return Message(
        room=room,
        payload=form.payload,
        timestamp=form.timestamp,
        sender=form.sender,
        binary=form.binary,
        exclude=form.exclude,
        trace=parse_trace(form.traceparent, form.tracestate),
        position=position,
        kind=form.kind,
        event=event,
        binary_at=binary_at if isinstance(binary_at, str) else "",
    )


def _is_short_array(head: bytes) -> bool:
    """Whether MessagePack that begins with `head` is an array of at most 15 values. Its length takes 4 or 16 bits."""
    # The short form has the length in half a byte, which cannot be more than 15.
    return head[:1] in _SHORT_FORMS or (head[:2] == b"\xdc\x00" and head[-1] <= MOST_FIELDS)
