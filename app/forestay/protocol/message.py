"""A message on its way from a sender to the members of a room.

The pod that accepts it makes it. It never changes after that.
"""

from enum import StrEnum
from hashlib import blake2b

from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.trace import TraceContext


class Kind(StrEnum):
    """The kind of a message."""

    BROADCAST = "broadcast"
    USER_JOINED = "user-joined"
    """News of a room. `sender` is the user that it is about, and does not get it."""
    USER_LEFT = "user-left"
    PODS = "pods"
    """A message of the control channel. No client gets it."""


class Message:
    """A broadcast, a binary message or news, accepted for a room."""

    # A class of its own and no Struct, because it is compiled: many places read it for each message.
    __slots__ = (
        "binary",
        "binary_at",
        "event",
        "exclude",
        "kind",
        "payload",
        "position",
        "room",
        "sender",
        "timestamp",
        "trace",
    )

    def __init__(
        self,
        room: RoomName,
        payload: bytes,
        timestamp: str,
        sender: str | None = None,
        *,
        binary: bool = False,
        exclude: str | None = None,
        trace: TraceContext | None = None,
        position: Position | None = None,
        kind: Kind = Kind.BROADCAST,
        event: str | None = None,
        binary_at: str = "",
    ) -> None:
        self.room = room
        self.payload = payload
        """JSON exactly as the sender wrote it; for a binary message all of it, the `uint32` type included."""
        self.timestamp = timestamp
        """RFC 3339, UTC, with milliseconds. The accepting pod sets it."""
        self.sender = sender
        """The `sub` of the sender; None for a backend."""
        self.binary = binary
        self.exclude = exclude
        """The id of the sender's connection, where it does not get its own message."""
        self.trace = trace
        self.position = position
        """The place in the room's history. The bus sets it, and only in rooms with history."""
        self.kind = kind
        self.event = event
        """The name of an event. Its payload is a JSON array, its arguments. Only a broadcast has one."""
        self.binary_at = binary_at
        """Where base64 in the payload stands for bytes: `start:length,…`. See `protocol.attachments`."""

    def copy(self) -> "Message":
        """A copy, which whoever makes it may change before anybody else has it."""
        return Message(
            self.room,
            self.payload,
            self.timestamp,
            self.sender,
            binary=self.binary,
            exclude=self.exclude,
            trace=self.trace,
            position=self.position,
            kind=self.kind,
            event=self.event,
            binary_at=self.binary_at,
        )

    def _fields(self) -> tuple[object, ...]:
        text = self.room, self.payload, self.timestamp, self.sender, self.exclude, self.event, self.binary_at
        return (*text, self.binary, self.kind, self.trace, self.position)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return f"Message{self._fields()!r}"


def content_digest(message: Message) -> bytes:
    """12 bytes that tell what `message` says from what another one says: its payload and its event."""
    # A NUL cannot be in an event, nor in JSON. So no two contents make one text.
    parts = (message.event or "", message.binary_at)
    return blake2b("\0".join(parts).encode() + b"\0" + message.payload, digest_size=12).digest()
