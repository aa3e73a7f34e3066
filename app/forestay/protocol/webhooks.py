"""The events that the gateway tells the application's backend, and the JSON of one event."""

from base64 import b64encode
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from forestay.protocol.message import Message
from forestay.protocol.names import is_personal, shown
from forestay.protocol.position import Position


class EventType(StrEnum):
    """What an event says has happened."""

    ROOM_OCCUPIED = "room.occupied"
    """The first user came into a room, on all pods together."""
    ROOM_VACATED = "room.vacated"
    """The last user left a room, on all pods together."""
    USER_ONLINE = "user.online"
    """A user has the first connection, on all pods together."""
    USER_OFFLINE = "user.offline"
    """A user has no connection any more."""
    MESSAGE = "message"
    """A message was accepted for a room."""


class WebhookEvent(Struct, frozen=True, omit_defaults=True):
    """One event, as the receiver gets it."""

    id: str
    """The same in each repetition."""
    type: str
    timestamp: str
    """RFC 3339, UTC, with milliseconds: when the pod that noticed it offered it."""
    data: dict[str, Raw]
    sequence: str = ""
    """Rises with each event about one room or one user. The queue sets it. Compared as text."""

    def placed(self, sequence: str, position: Position | None) -> "WebhookEvent":
        """Return the event with its sequence, and with the position of its message where the room has history."""
        data = self.data
        if position is not None:
            data = data | {"epoch": field(position.epoch), "offset": field(position.offset)}
        return replace(self, sequence=sequence, data=data)


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(WebhookEvent).decode


def encode_event(event: WebhookEvent) -> bytes:
    """The JSON of `event`."""
    return _encode(event)


def decode_event(data: bytes) -> WebhookEvent:
    """The event in `data`. Raises ValueError where it is none."""
    return _decode(data)


def field(value: object) -> Raw:
    """A value of an event's `data`, as JSON."""
    return Raw(_encode(value))


def message_data(message: Message) -> dict[str, Raw]:
    """The `data` of an event about `message`. Its position is not known yet."""
    data = {"room": field(shown(message.room)), "user": field(message.sender)}
    if is_personal(message.room):
        data["recipient"] = field(message.room[1:])
    if message.event is not None:
        data["event"] = field(message.event)
    if message.binary:
        data["binary"] = field(b64encode(message.payload).decode())
    else:
        data["payload"] = Raw(message.payload)
    return data
