"""Where events for the receiver of webhooks are kept in Redis, and in which partitions some may wait for this pod."""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

from forestay.bus.redis.client.command import ErrorReply, Failure, Settle
from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.event_scripts import TELL_MESSAGE
from forestay.bus.redis.guard import Guard
from forestay.bus.redis.keys import EventKeys, KeySpace
from forestay.core.ports.webhooks import MOST_DEAD, EventBounds
from forestay.protocol.envelope import BadEnvelope

# On a Cluster the events of one partition may take this part of what all may take: partitions are not used evenly.
_SHARE: Final = 16


class Adding(NamedTuple):
    """What a script needs to add an event."""

    keys: tuple[bytes, ...]
    arguments: tuple[bytes | int | str, ...]


NOTHING: Final = Adding((), ())


def tell_message(adding: Adding, envelope: bytes, channel: bytes, verb: bytes) -> bytes:
    """The command that publishes a message of a room without history, and adds its event."""
    names, arguments = adding
    return pack(b"EVALSHA", TELL_MESSAGE.digest, len(names), *names, envelope, channel, verb, *arguments)


class EventLog:
    """The keys and the bounds of events, for the scripts that add some."""

    def __init__(
        self, keys: KeySpace, guard: Guard, bounds: EventBounds, dropped: Callable[[BadEnvelope], None]
    ) -> None:
        """`dropped`: takes why an event is not believed."""
        share = _SHARE if keys.event_partitions > 1 else 1
        self._keys = keys
        self.guard = guard
        self.dropped = dropped
        self.limits = (max(1, bounds.events // share), max(1, bounds.bytes // share))
        """The most events, and the most bytes, of one stream."""
        self.receiver = bounds.receiver
        self.most_dead = MOST_DEAD // share
        self.partitions = keys.event_partitions
        self._dirty: dict[int, None] = {}
        self._found = asyncio.Event()

    def keys(self, partition: int) -> EventKeys:
        """Where the events about the rooms of `partition` are."""
        return self._keys.webhooks(partition)

    def adding(self, partition: int, event: bytes) -> Adding:
        """What a script needs to add `event`."""
        keys = self.keys(partition)
        return Adding((keys.events, keys.facts), (self.guard.seal(keys.events, event), *self.limits, self.receiver))

    def waking(self, partition: int, settle: Settle) -> Settle:
        """`settle`, and a note that there may be an event now."""

        def settled(reply: object) -> None:
            if not isinstance(reply, Failure | ErrorReply):
                self.note(partition)
            settle(reply)

        return settled

    def note(self, partition: int) -> None:
        """Note that events about the rooms of `partition` may wait."""
        self._dirty[self.keys(partition).partition] = None
        self._found.set()

    def checked(self, partition: int) -> None:
        """Note that no events wait in `partition`, as far as is known."""
        self._dirty.pop(partition, None)
        if not self._dirty:
            self._found.clear()

    async def noted(self) -> list[int]:
        """The partitions in which events may wait. Waits until there is one."""
        await self._found.wait()
        return list(self._dirty)
