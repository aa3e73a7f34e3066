"""A subscription to one room, and the commands that subscribe to channels on a node."""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple, Protocol

from forestay.core.ports.bus import Subscriber
from forestay.protocol.names import RoomName


class PubSub(NamedTuple):
    """The names of the commands, and of the replies to them."""

    publish: bytes
    subscribe: bytes
    unsubscribe: bytes
    message: bytes
    one_slot: bool
    """Whether one command may name only channels of one slot."""


PLAIN: Final = PubSub(b"PUBLISH", b"subscribe", b"unsubscribe", b"message", one_slot=False)
SHARDED: Final = PubSub(b"SPUBLISH", b"ssubscribe", b"sunsubscribe", b"smessage", one_slot=True)
"""For nodes of a Cluster."""


class Subscription:
    """One room whose messages the pod wants."""

    __slots__ = ("_confirmed", "_interrupted", "channel", "partition", "room", "subscriber")

    def __init__(self, room: RoomName, channel: bytes, partition: int, subscriber: Subscriber) -> None:
        self.room = room
        self.channel = channel
        self.partition = partition
        self.subscriber = subscriber
        self._confirmed = False
        """Whether Redis has confirmed it at least once."""
        self._interrupted = False
        """Whether messages may be missing since the last confirmation."""

    def confirm(self) -> bool:
        """Redis has confirmed the subscription. Returns whether it was interrupted since the confirmation before."""
        if not self._confirmed:
            self._confirmed = True
            self.subscriber.confirmed()
        interrupted, self._interrupted = self._interrupted, False
        return interrupted

    def interrupt(self) -> None:
        """Messages may be missing until the next confirmation. Without effect before the first one."""
        self._interrupted = self._confirmed


class Receiver(Protocol):
    """Takes what the node sends to subscribers."""

    def received(self, subscription: Subscription, data: bytes) -> None:
        """A message came on the room's channel."""

    def doubted(self, subscriptions: Collection[Subscription]) -> None:
        """Messages of these rooms may be missing between the last one and the next one."""


def by_slot(channels: Iterable[bytes]) -> list[list[bytes]]:
    """`channels` grouped by their hash tag, and so by their slot."""
    slots: dict[bytes, list[bytes]] = {}
    for channel in channels:
        slots.setdefault(channel[: channel.index(b"}")], []).append(channel)
    return list(slots.values())
