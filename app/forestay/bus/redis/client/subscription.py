"""A room that the pod wants to hear, who hears it, and the words in which a node is asked for it."""

from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple, Protocol

from forestay.protocol.names import RoomName


class Words(NamedTuple):
    """What the commands and their answers are called."""

    subscribe: bytes
    unsubscribe: bytes
    message: bytes


PLAIN: Final = Words(b"subscribe", b"unsubscribe", b"message")
SHARDED: Final = Words(b"ssubscribe", b"sunsubscribe", b"smessage")


class Subscription:
    """One room that the pod wants to hear."""

    __slots__ = ("channel", "confirmed", "doubtful", "partition", "room")

    def __init__(self, room: RoomName, channel: bytes, partition: int, confirmed: Callable[[], None]) -> None:
        self.room = room
        self.channel = channel
        self.partition = partition
        self.confirmed: Callable[[], None] | None = confirmed
        """Who waits for the first confirmation."""
        self.doubtful = False
        """Whether it was heard before, and may have been missed since."""


class Ear(Protocol):
    """Who is told what is heard."""

    def heard(self, room: RoomName, data: bytes) -> None: ...

    def doubted(self, rooms: Collection[RoomName]) -> None: ...


def by_slot(channels: Iterable[bytes]) -> list[list[bytes]]:
    """`channels` by their hash tag: one command may name only those of one slot."""
    slots: dict[bytes, list[bytes]] = {}
    for channel in channels:
        slots.setdefault(channel[: channel.index(b"}")], []).append(channel)
    return list(slots.values())
