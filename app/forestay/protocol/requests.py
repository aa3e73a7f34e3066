"""The requests of a client, typed. The `type` field of the JSON object chooses one.

Unknown fields are ignored, and so is the client's `timestamp`. The dispatcher in `core.sessions` carries requests out.
"""

from collections.abc import Sequence
from typing import Annotated, Final, Protocol, TypeAlias

from msgspec import Meta, Raw, Struct

from forestay.protocol.codes import Refusal
from forestay.protocol.position import Position

MAX_ID: Final = 64
"""Characters of an `id`."""

CorrelationId = Annotated[str, Meta(max_length=MAX_ID)]


class _Request(Struct, frozen=True, tag_field="type"):
    """`id` is the client's correlation id. Each reply to the request repeats it."""

    id: CorrelationId | None = None


class RoomRequest(_Request, frozen=True, kw_only=True):
    """A request about one room. The dispatcher checks the name, so that a bad name has its own error code."""

    room: str


class Join(RoomRequest, frozen=True, tag="join"):
    """Enter a room; with `since`, get the messages after that position."""

    since: Position | None = None
    rooms: None = None
    """The list form has this field. It is read as a `JoinMany`."""


class RoomToJoin(Struct, frozen=True):
    """One room of a list."""

    room: str
    since: Position | None = None


class Leave(RoomRequest, frozen=True, tag="leave"):
    """Leave a room."""


class Broadcast(RoomRequest, frozen=True, tag="broadcast", kw_only=True):
    """Publish a JSON payload to a room."""

    payload: Raw
    key: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """The idempotency key: a repeat with the same key publishes nothing."""
    echo: bool | None = None
    """Whether the sender receives the message too; None means that the room's policy decides."""
    traceparent: str | None = None
    tracestate: str | None = None
    event: str | None = None
    """The name of the event that the payload, a JSON array, has the arguments of; None where it is no event."""


class Emitted(Broadcast, frozen=True, tag="broadcast", kw_only=True):
    """A broadcast of a Socket.IO client. No client sends it as JSON."""

    binary_at: str = ""
    """As in a `Message`: where base64 in the payload stands for bytes."""


class Binary(_Request, frozen=True, tag="binary", kw_only=True):
    """Publish a binary message. It does not come as JSON, and on most wires it has no more than `data`."""

    data: bytes
    """The whole message: a big-endian `uint32` type and any bytes."""
    room: str | None = None
    """The room; None where the type decides."""
    echo: bool | None = None
    """As in a `Broadcast`."""


class Ping(_Request, frozen=True, tag="ping"):
    """Ask for a `pong`."""


class Pong(_Request, frozen=True, tag="pong"):
    """Answer a ping of the gateway."""


class BoundType(Struct, frozen=True):
    """A type of binary messages."""

    type: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]


class Bind(RoomRequest, frozen=True, tag="bind", kw_only=True):
    """Send binary messages of one type to a room from now on."""

    payload: BoundType


class Presence(RoomRequest, frozen=True, tag="presence"):
    """Ask for a page of the users in a room."""

    after: str | None = None
    """The page starts after this user."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class History(RoomRequest, frozen=True, tag="history"):
    """Ask for a page of the messages of a room."""

    since: Position | None = None
    before: Position | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Call(_Request, frozen=True, tag="call", kw_only=True):
    """Ask the application. Its hook answers with a `result`, or refuses."""

    method: str
    """What is asked. The dispatcher checks it, see `check_method`."""
    payload: Raw = Raw(b"null")
    traceparent: str | None = None
    tracestate: str | None = None


class Token(Struct, frozen=True):
    """A JSON Web Token."""

    token: str


class Auth(_Request, frozen=True, tag="auth", kw_only=True):
    """Replace the token of the connection by a newer one."""

    payload: Token


class Unreadable(Exception):
    """A text that is no request: the refusal, with `id` and `room` where they could be read."""

    def __init__(self, refusal: Refusal, id: str | None = None, room: str | None = None) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.id = id
        self.room = room


class JoinMany(_Request, frozen=True, tag="join", kw_only=True):
    """Enter several rooms. Each of them is charged and answered on its own, in order, with the same `id`."""

    joins: Sequence[Join | Unreadable]


JsonRequest: TypeAlias = Join | Leave | Broadcast | Ping | Pong | Bind | Presence | History | Auth | Call
"""A request that is one JSON object, field by field."""

OtherRequest: TypeAlias = Join | Leave | Binary | Ping | Pong | Bind | Presence | History | Auth | Call
"""A request that is neither a `broadcast` nor a list."""

Request: TypeAlias = Broadcast | OtherRequest | JoinMany


class TextReader(Protocol):
    """Reads the requests of one kind of text."""

    def read(self, text: bytes) -> JsonRequest | JoinMany:
        """The request in `text`, which is valid UTF-8. Raises Unreadable."""
