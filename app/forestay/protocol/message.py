"""A message on its way from a sender to the members of a room.

The pod that accepts it makes it. It never changes after that.
"""

from enum import StrEnum
from hashlib import blake2b

from msgspec import Struct

from forestay.protocol.names import RoomName
from forestay.protocol.trace import TraceContext


class Position(Struct, frozen=True):
    """A place in the history of a room. Offsets have no gaps within an epoch, and cannot be compared across epochs."""

    epoch: str
    offset: int


class Kind(StrEnum):
    """The kind of a message."""

    BROADCAST = "broadcast"
    USER_JOINED = "user-joined"
    """News of a room. `sender` is the user that it is about, and does not get it."""
    USER_LEFT = "user-left"
    PODS = "pods"
    """A message of the control channel. No client gets it."""


class Message(Struct, frozen=True):
    """A broadcast, a binary message or news, accepted for a room."""

    room: RoomName
    payload: bytes
    """JSON exactly as the sender wrote it; for a binary message all of it, the `uint32` type included."""
    timestamp: str
    """RFC 3339, UTC, with milliseconds. The accepting pod sets it."""
    sender: str | None = None
    """The `sub` of the sender; None for a backend."""
    binary: bool = False
    exclude: str | None = None
    """The id of the sender's connection, where it does not get its own message."""
    trace: TraceContext | None = None
    position: Position | None = None
    """The place in the room's history. The bus sets it, and only in rooms with history."""
    kind: Kind = Kind.BROADCAST
    event: str | None = None
    """The name of an event. Its payload is a JSON array, its arguments. Only a broadcast has one."""
    binary_at: str = ""
    """Where base64 in the payload stands for bytes: `start:length,…`. `protocol.attachments` says what that means."""


def content_digest(message: Message) -> bytes:
    """12 bytes that tell what `message` says from what another one says: its payload and its event."""
    # A NUL cannot be in an event, nor in JSON. So no two contents make one text.
    parts = (message.event or "", message.binary_at)
    return blake2b("\0".join(parts).encode() + b"\0" + message.payload, digest_size=12).digest()
