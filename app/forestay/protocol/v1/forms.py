"""The fields of the JSON texts of protocol version 1, in their order."""

from collections.abc import Mapping

from msgspec import Raw, Struct

Payload = Mapping[str, object]


class Broadcast(Struct, omit_defaults=True, rename={"sender": "from"}):
    """The fields of a JSON message that its receivers see on every wire."""

    room: str
    payload: Raw
    timestamp: str
    sender: str | None = None
    epoch: str | None = None
    offset: int | None = None


class BroadcastText(Broadcast, tag_field="type", tag="broadcast"):
    """A JSON message."""

    traceparent: str | None = None
    event: str | None = None


class NewsText(Struct):
    """News of a room."""

    type: str
    room: str
    payload: Raw
    timestamp: str


class ResultText(Struct, tag_field="type", tag="result"):
    """What the application answers to a call."""

    id: str
    payload: Raw
    timestamp: str


class ReplyText(Struct, omit_defaults=True):
    """A reply to one client."""

    type: str
    id: str | None = None
    room: str | None = None
    payload: Payload | None = None
    timestamp: str | None = None
