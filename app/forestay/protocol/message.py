"""One message on its way from a sender to a room: what pods tell one another.

It is made once, by the pod that accepted it, and changed by nobody after that.
"""

from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from forestay.protocol.names import RoomName
from forestay.protocol.trace import TraceContext


class Position(Struct, frozen=True):
    """A place in a room's history. Offsets are dense within an epoch, and say nothing across epochs."""

    epoch: str
    offset: int


class Kind(StrEnum):
    """What a message is, to those who hear it."""

    BROADCAST = "broadcast"
    USER_JOINED = "user-joined"
    """News of a room: `sender` is who it is about, and does not hear it."""
    USER_LEFT = "user-left"
    PODS = "pods"
    """What pods say to one another; no client hears it."""


class Message(Struct, frozen=True):
    """A broadcast, a binary message or news, accepted for a room."""

    room: RoomName
    payload: bytes
    """JSON exactly as the sender wrote it, or for binary the whole frame: `uint32` type and bytes."""
    timestamp: str
    """RFC 3339, UTC, milliseconds; set by the accepting pod."""
    sender: str | None = None
    """The sender's `sub`; None for backends."""
    binary: bool = False
    exclude: str | None = None
    """The connection that asked not to hear its own message, by id."""
    trace: TraceContext | None = None
    position: Position | None = None
    """Where it stands in the room's history; given by the bus, and only in rooms with history."""
    kind: Kind = Kind.BROADCAST


@lru_cache(maxsize=2)
def _up_to_the_second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def timestamp(unix_ms: int) -> str:
    """`unix_ms` milliseconds since 1970 as RFC 3339 in UTC: `2026-11-22T12:00:00.123Z`."""
    seconds, ms = divmod(unix_ms, 1000)
    return f"{_up_to_the_second(seconds)}.{ms:03}Z"


def unix_seconds(timestamp: str) -> float | None:
    """The seconds since 1970 that `timestamp` stands for; None where it is none."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (ValueError, OverflowError):
        return None
