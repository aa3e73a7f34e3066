"""What an application hears: messages, positions, pages, and changes of state."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from forestay_client.errors import DisconnectedError, UnauthorizedError


class ClientState(StrEnum):
    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"


class RoomState(StrEnum):
    LEFT = "left"
    JOINING = "joining"
    JOINED = "joined"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a message stands in its room's history. Offsets count up by one within an epoch."""

    epoch: str
    offset: int


@dataclass(frozen=True, slots=True)
class Message:
    """Somebody spoke to a room."""

    room: str
    payload: Any
    sender: str | None = None
    """The user who spoke; None where a backend did."""
    timestamp: str = ""
    """RFC 3339, of the pod that accepted it."""
    position: Position | None = None
    """In rooms with history."""
    traceparent: str | None = None
    event: str | None = None
    """The name of an event; the payload is then a list of arguments."""
    gap: str | None = None
    """Only in `async for`: why messages in front of this one may be missing."""


@dataclass(frozen=True, slots=True)
class BinaryMessage:
    """Bytes of a type; the room is the one that bound the type on this client, if one did."""

    type: int
    data: bytes
    room: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    user: str
    connections: int
    info: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PresencePage:
    """Who is in a room."""

    count: int
    """Connections in the whole room."""
    users: int
    """Users in the whole room."""
    members: tuple[Member, ...]
    next: str | None = None
    """The `after` of the next page; None on the last one."""
    degraded: bool = False
    """Whether users may be missing or too many, because Redis refuses changes or did so a moment ago."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A part of a room's past, ascending."""

    epoch: str
    messages: tuple[Message, ...]
    more: bool
    """Whether the page ended before the past did."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A room is joined, for the first time or again."""

    room: str
    position: Position | None = None
    recovered: bool | None = None
    """None the first time; then whether nothing was missed in between."""
    members: PresencePage | None = None


@dataclass(frozen=True, slots=True)
class Resync:
    """Messages of a room were lost; what comes next stands behind the position, where there is one."""

    room: str
    reason: str
    position: Position | None = None


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """A user's first connection came to a room, or the last one left it."""

    room: str
    user: str
    info: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """The client went over to another connection while both were open."""

    rooms: tuple[str, ...]
    """Those without history: in rare cases messages of this moment come twice, or in another order."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """The client's connection came or went; with the close code, or the HTTP status of a refused handshake."""

    old_state: ClientState
    state: ClientState
    code: int | str | None = None
    reason: str = ""
    error: DisconnectedError | UnauthorizedError | None = None
    """Why there is no connection, where there is none any more."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """There is no connection, and the client tries again; `code` and `reason` are those of the error."""

    delay: float
    """Seconds until the next attempt."""
    error: DisconnectedError
    """What became of the last connection, or of the last attempt."""
    code: int | str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RoomStateChange:
    """A room was joined or left; with an error code where it was refused, a close code where the connection ended."""

    room: str
    old_state: RoomState
    state: RoomState
    code: str | int | None = None
    reason: str = ""
