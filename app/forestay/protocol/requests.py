"""The requests a client can say, typed: the `type` of the envelope chooses one.

Unknown fields are ignored, and so is the client's `timestamp`. What a request does is `core.gateway`'s business.
"""

from typing import Annotated

from msgspec import Meta, Raw, Struct

from forestay.protocol.message import Position

CorrelationId = Annotated[str, Meta(max_length=64)]


class _Request(Struct, frozen=True, tag_field="type"):
    """What all requests share: `id`, the client's correlation id, echoed by whatever answers."""

    id: CorrelationId | None = None


class RoomRequest(_Request, frozen=True, kw_only=True):
    """A request about one room. The name is checked by the gateway, so that a bad one gets a code of its own."""

    room: str


class Join(RoomRequest, frozen=True, tag="join"):
    since: Position | None = None


class Leave(RoomRequest, frozen=True, tag="leave"):
    pass


class Broadcast(RoomRequest, frozen=True, tag="broadcast", kw_only=True):
    payload: Raw
    key: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    echo: bool | None = None
    """Whether the sender hears the message too; None leaves it to the room's policy."""
    traceparent: str | None = None
    tracestate: str | None = None


class Ping(_Request, frozen=True, tag="ping"):
    pass


class Pong(_Request, frozen=True, tag="pong"):
    pass


class BoundType(Struct, frozen=True):
    type: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]


class Bind(RoomRequest, frozen=True, tag="bind", kw_only=True):
    payload: BoundType


class Presence(RoomRequest, frozen=True, tag="presence"):
    after: str | None = None
    """The user behind whom the page begins."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class History(RoomRequest, frozen=True, tag="history"):
    since: Position | None = None
    before: Position | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Token(Struct, frozen=True):
    token: str


class Auth(_Request, frozen=True, tag="auth", kw_only=True):
    payload: Token


Request = Join | Leave | Broadcast | Ping | Pong | Bind | Presence | History | Auth
