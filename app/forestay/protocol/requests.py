"""The sentences a client can say, typed: the `type` of the envelope chooses one.

Unknown fields are ignored, and so is the client's `timestamp`. What a sentence does is `core.gateway`'s business.
"""

from typing import Annotated

from msgspec import Meta, Raw, Struct

from forestay.protocol.message import Position

CorrelationId = Annotated[str, Meta(max_length=64)]


class Sentence(Struct, frozen=True, tag_field="type"):
    """What all sentences share: `id`, the client's correlation id, echoed by whatever answers."""

    id: CorrelationId | None = None


class InRoom(Sentence, frozen=True, kw_only=True):
    """A sentence about one room. The name is checked by the gateway, so that a bad one gets a code of its own."""

    room: str


class Join(InRoom, frozen=True, tag="join"):
    since: Position | None = None


class Leave(InRoom, frozen=True, tag="leave"):
    pass


class Broadcast(InRoom, frozen=True, tag="broadcast", kw_only=True):
    payload: Raw
    key: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    echo: bool | None = None
    """Whether the sender hears the message too; None leaves it to the room's policy."""
    traceparent: str | None = None
    tracestate: str | None = None


class Ping(Sentence, frozen=True, tag="ping"):
    pass


class Pong(Sentence, frozen=True, tag="pong"):
    pass


class BoundType(Struct, frozen=True):
    type: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]


class Bind(InRoom, frozen=True, tag="bind", kw_only=True):
    payload: BoundType


class Presence(InRoom, frozen=True, tag="presence"):
    after: str | None = None
    """The user behind whom the page begins."""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class History(InRoom, frozen=True, tag="history"):
    since: Position | None = None
    before: Position | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Token(Struct, frozen=True):
    token: str


class Auth(Sentence, frozen=True, tag="auth", kw_only=True):
    payload: Token


Said = Join | Leave | Broadcast | Ping | Pong | Bind | Presence | History | Auth
