"""The forms of what the gateway says in protocol version 1, for its description: one for each reply and each news."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Raw, Struct

from forestay.protocol import replies
from forestay.protocol.codes import ErrorCode
from forestay.protocol.message import Kind
from forestay.protocol.requests import CorrelationId
from forestay.protocol.v1.forms import BroadcastText, ResultText

Offset: TypeAlias = Annotated[int, Meta(ge=0)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
Timestamp: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class PositionPayload(Struct, omit_defaults=True):
    """A position, in rooms with history."""

    epoch: str | None = None
    offset: Offset | None = None


class Limits(Struct):
    """The limits of a client."""

    message_bytes: int
    """The largest size of a message."""
    rate: float
    """Messages per second; 0 means no limit."""
    burst: int
    """Messages that may come at once, above the rate."""
    bytes_rate: float
    """Bytes per second; 0 means no limit."""
    rooms: int
    """Rooms that this connection may be in."""
    rooms_per_join: int
    """Rooms that one `join` may name."""


class WelcomePayload(Struct):
    """Who the client is, and the limits that it has to keep."""

    connection: str
    """The id of this connection, unique among all pods."""
    user: str
    """The user of the token."""
    protocol: str
    ping_interval_ms: Count
    pong_timeout_ms: Count
    reconnect_spread_ms: Count
    """The time over which clients spread their reconnects."""
    limits: Limits


class User(Struct, kw_only=True):
    """A user in a room."""

    user: str
    info: Raw | None = None
    """What the token tells the other members."""


class PresentUser(User, kw_only=True):
    """A user in a room, with its connections."""

    connections: Count


class PresencePage(Struct):
    """A page of the users in a room."""

    count: Count
    """Connections of all users in the room."""
    users: Count
    """Users in the room."""
    members: list[PresentUser]
    next: str | None = None
    """The `after` of the next page."""
    degraded: bool | None = None
    """Users may be missing or too many, because Redis refuses changes or did so a moment ago; else missing."""


class JoinedPayload(PositionPayload):
    """Where live messages start, and what comes before them."""

    recovered: bool | None = None
    """Whether all missed messages follow; exactly where the client sent `since`."""
    members: PresencePage | None = None
    """The first page of presence, where the client may see it."""


class LeftPayload(Struct):
    """Why the connection is no longer in the room, though its client did not leave: `forbidden` or `removed`."""

    reason: str


class ResyncPayload(Struct):
    """Which messages were lost."""

    reason: str
    """`lost`, `missed` or `slow`."""
    epoch: str | None = None
    offset: Offset | None = None
    """Live messages go on after this position, where there is one."""


class ReconnectPayload(Struct):
    """When to move, in milliseconds from now."""

    reason: str
    """`draining`, `rebalancing` or `age`."""
    after_ms: Count
    """The client should start."""
    within_ms: Count
    """The gateway closes this connection."""


class ErrorPayload(Struct):
    """Why a message was refused."""

    code: ErrorCode
    message: str
    """For a person. It may change."""
    reason: str | None = None
    """The application's own code."""
    retry_after_ms: Count | None = None


class KeptMessage(Struct, rename={"sender": "from"}):
    """A message in the history of a room."""

    offset: Offset
    payload: Raw
    timestamp: Timestamp
    sender: str | None = None
    event: str | None = None


class HistoryPage(Struct):
    """A page of the messages of a room, oldest first."""

    epoch: str
    messages: list[KeptMessage]
    more: bool
    """Whether there are more messages than fit into the page."""


class Text(Struct, tag_field="type", kw_only=True):
    timestamp: Timestamp


class Answer(Text, kw_only=True):
    id: CorrelationId | None = None
    """That of the request, where it had one."""


class AboutRoom(Answer, kw_only=True):
    room: str


class WelcomeText(Text, tag="welcome", kw_only=True):
    payload: WelcomePayload


class JoinedText(AboutRoom, tag="joined", kw_only=True):
    payload: JoinedPayload


class LeftText(AboutRoom, tag="left", kw_only=True):
    payload: LeftPayload | None = None


class AckText(Answer, tag="ack", kw_only=True):
    room: str | None = None
    """For `bind` only."""
    payload: PositionPayload


class PresenceText(AboutRoom, tag="presence", kw_only=True):
    payload: PresencePage


class HistoryText(AboutRoom, tag="history", kw_only=True):
    payload: HistoryPage


class ResyncText(Text, tag="resync", kw_only=True):
    room: str
    payload: ResyncPayload


class ReconnectText(Text, tag="reconnect", kw_only=True):
    payload: ReconnectPayload


class ErrorText(Answer, tag="error", kw_only=True):
    room: str | None = None
    """As the client wrote it."""
    payload: ErrorPayload


class PongText(Answer, tag="pong", kw_only=True):
    """The answer to a `ping`."""


class UserJoinedText(Text, tag="user-joined", kw_only=True):
    """The first connection of a user joined the room."""

    room: str
    payload: User


class UserLeftText(Text, tag="user-left", kw_only=True):
    """The last connection of a user left the room."""

    room: str
    payload: User


class ClosePayload(Struct):
    """A close code, and why."""

    code: int
    reason: str


class CloseText(Text, tag="close", kw_only=True):
    """The last event of a stream. A WebSocket has a close frame in its place."""

    payload: ClosePayload


FORMS: Final[Mapping[type, type[Struct]]] = {
    replies.Welcome: WelcomeText,
    replies.Joined: JoinedText,
    replies.Left: LeftText,
    replies.Ack: AckText,
    replies.PresenceReply: PresenceText,
    replies.HistoryReply: HistoryText,
    replies.Result: ResultText,
    replies.Resync: ResyncText,
    replies.Reconnect: ReconnectText,
    replies.Error: ErrorText,
    replies.Pong: PongText,
}
"""The form of each reply."""

NEWS: Final[Mapping[Kind, type[Struct]]] = {
    Kind.BROADCAST: BroadcastText,
    Kind.USER_JOINED: UserJoinedText,
    Kind.USER_LEFT: UserLeftText,
}
"""The form of each kind of message in a room."""

_ASKED: Final = {replies.Ack, replies.Pong, replies.Result, replies.PresenceReply, replies.HistoryReply}

STREAMED: Final[Sequence[type[Struct]]] = (
    *(form for reply, form in FORMS.items() if reply not in _ASKED),
    *NEWS.values(),
    CloseText,
)
"""What comes on an event stream: its client asks for nothing."""
