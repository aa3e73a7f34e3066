"""The replies of the gateway to one client, typed. A wire encodes them.

A room message is no reply: it goes to all members of a room and is a `Message`. `id` is the correlation id of the
request that a reply answers; None where the client gave none.
"""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from forestay.protocol.codes import Refusal
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.presence import PresencePage


class ClientLimits(Struct, frozen=True):
    """The limits that each client is told and has to keep. One object serves all connections of a pod."""

    ping_interval: float
    """Seconds."""
    pong_timeout: float
    """Seconds."""
    reconnect_spread: float
    """Seconds over which clients spread their reconnects after a loss that hit many of them."""
    message_bytes: int
    """The largest message that the client may send."""
    rate: float
    """Messages per second that the client may send; 0 means no limit."""
    burst: int
    """Messages that may come at once."""
    bytes_rate: float
    """Bytes per second that the client may send; 0 means no limit."""
    rooms: int
    """Rooms that the connection may be in, and that one `join` may name."""


class Welcome(Struct, frozen=True):
    """The first reply of each connection: who the client is, and the limits it has to keep."""

    connection: str
    """The id of the connection, unique among all pods."""
    user: str
    limits: ClientLimits


class Joined(Struct, frozen=True):
    """The connection is in the room. Missed messages follow, then live messages."""

    id: str | None
    room: RoomName
    position: Position | None
    """Where live messages start; None in rooms without history."""
    recovered: bool | None
    """Whether all missed messages follow; None where the request had no `since`."""
    members: PresencePage | None
    """The first page of presence; None where the client may not see it or the registry did not answer."""


class Left(Struct, frozen=True):
    """The connection is no longer in the room."""

    id: str | None
    room: RoomName
    reason: str | None = None
    """Why, where the client did not ask for it: `forbidden` or `removed`."""


class Ack(Struct, frozen=True):
    """The request took effect."""

    id: str | None
    room: RoomName | None = None
    position: Position | None = None
    """The position of a published message in a room with history."""


class PresenceReply(Struct, frozen=True):
    """A page of the users in a room."""

    id: str | None
    room: RoomName
    page: PresencePage


class HistoryReply(Struct, frozen=True):
    """A page of the messages of a room, oldest first."""

    id: str | None
    room: RoomName
    epoch: str
    messages: Sequence[Message]
    more: bool
    """Whether the limit cut off messages."""
    newest: bool
    """Whether a page that is too large for its wire keeps its newest messages, and not its oldest ones."""


class Result(Struct, frozen=True):
    """What the application's hook answers to a call."""

    id: str
    payload: bytes
    """JSON."""


class Resync(Struct, frozen=True):
    """Messages of the room are lost for this client; it must load the state again."""

    room: RoomName
    reason: str
    """`lost`, `missed` or `slow`."""
    position: Position | None = None
    """Where live messages go on; None in rooms without history, and where the client itself was slow."""


class Reconnect(Struct, frozen=True):
    """The client should open a new connection, which may lead to another pod."""

    reason: str
    """`draining`, `rebalancing` or `age`."""
    after: float
    """Seconds from now when the client should start."""
    within: float
    """Seconds from now when the gateway closes this connection."""


class Error(Struct, frozen=True):
    """The request was refused. The connection stays open."""

    id: str | None
    room: str | None
    """The room as the client wrote it."""
    refusal: Refusal


class Pong(Struct, frozen=True):
    """The answer to a `ping` request."""

    id: str | None


RoomAnswer: TypeAlias = Joined | Left | PresenceReply | HistoryReply
"""A reply to a request about a room. `Left` also comes unasked."""

Notice: TypeAlias = Resync | Reconnect
"""A reply that no request asks for, in the middle of a connection."""

Reply: TypeAlias = Welcome | Ack | Pong | RoomAnswer | Result | Notice | Error
