"""What is watched of one client: the interface of a connection."""

from collections.abc import Collection, Mapping
from typing import Protocol

from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position


class Subject(Protocol):
    """A connection that somebody watches."""

    @property
    def id(self) -> str:
        """Unique among all pods."""

    @property
    def user(self) -> str:
        """The user of its token."""

    @property
    def rooms(self) -> Collection[RoomName]:
        """Those that it is in."""

    @property
    def missed(self) -> Mapping[RoomName, Position | None] | None:
        """Rooms with dropped messages, because it is slow."""

    def gets(self, message: Message) -> bool:
        """Whether a message of one of its rooms is for it."""
