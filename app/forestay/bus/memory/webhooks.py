"""The queue of webhook events within one process. Nothing survives the process."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from time import time

from forestay.core.ports.webhooks import (
    MOST_DEAD,
    NO_EVENTS,
    Backlog,
    DeadLetter,
    EventBounds,
    QueuedEvent,
)
from forestay.protocol.position import Position
from forestay.protocol.timestamps import timestamp
from forestay.protocol.webhooks import WebhookEvent, decode_event, encode_event


@dataclass(slots=True)
class _Waiting:
    event: WebhookEvent
    size: int
    came: float
    """Unix seconds."""
    taken_until: float = 0.0
    """When others may take it, in Unix seconds; 0 while nobody has it."""


class MemoryEvents:
    """The events of all pods of one process."""

    def __init__(self, bounds: EventBounds = NO_EVENTS, clock: Callable[[], float] = time) -> None:
        """`clock`: Unix seconds."""
        self.bounds = bounds
        self.clock = clock
        self.waiting: dict[str, _Waiting] = {}
        """By handle, oldest first."""
        self.dead: dict[str, DeadLetter] = {}
        self.dropped = 0
        self.stopped = ""
        self.found = asyncio.Event()
        self._bytes = 0
        self._numbers = count()

    def add(self, told: bytes, position: Position | None = None) -> None:
        """Add an event, and drop the oldest ones where there would be more than there may be."""
        if not self.stopped or self.stopped != self.bounds.receiver:
            sequence = f"{int(self.clock() * 1000):0>13}-{next(self._numbers) % 10**6:0>6}"
            self.queue(decode_event(told).placed(sequence, position), len(told))

    def queue(self, event: WebhookEvent, size: int) -> None:
        """Add an event that has its place."""
        self._bytes += size
        while self.waiting and (len(self.waiting) >= self.bounds.events or self._bytes > self.bounds.bytes):
            self.remove(next(iter(self.waiting)))
            self.dropped += 1
        self.waiting[f"0.{next(self._numbers)}-0"] = _Waiting(event, size, self.clock())
        self.found.set()

    def remove(self, handle: str) -> _Waiting | None:
        """Remove an event. Returns it, if it is still there."""
        one = self.waiting.pop(handle, None)
        if one is not None:
            self._bytes -= one.size
        return one

    def keep_letter(self, event: WebhookEvent, reason: str, attempts: int) -> None:
        """Keep an event as a dead letter."""
        id, now = f"0.{next(self._numbers)}-0", timestamp(int(self.clock() * 1000))
        self.dead[id] = DeadLetter(id, event, reason, attempts, now)
        if len(self.dead) > MOST_DEAD:
            del self.dead[next(iter(self.dead))]
            self.dropped += 1


class MemoryWebhooks:
    """The queue, as one pod sees it."""

    def __init__(self, events: MemoryEvents, lease: float) -> None:
        """`lease`: seconds after which other pods take what this pod has taken and no longer holds."""
        self._events = events
        self._lease = lease

    async def take(self, most: int) -> Sequence[QueuedEvent]:
        while True:
            await self._events.found.wait()
            now = self._events.clock()
            free = ((handle, one) for handle, one in self._events.waiting.items() if one.taken_until <= now)
            found = list(islice(free, most))
            if found:
                for _, one in found:
                    one.taken_until = now + self._lease
                return [QueuedEvent(handle, one.event) for handle, one in found]
            self._events.found.clear()

    async def hold(self, handles: Sequence[str]) -> None:
        until = self._events.clock() + self._lease
        for one in filter(None, map(self._events.waiting.get, handles)):
            one.taken_until = until

    async def give_back(self, handles: Sequence[str]) -> None:
        for one in filter(None, map(self._events.waiting.get, handles)):
            one.taken_until = 0.0
        self._events.found.set()

    async def done(self, handles: Sequence[str]) -> None:
        for handle in handles:
            self._events.remove(handle)

    async def set_aside(self, handles: Sequence[str], reason: str, attempts: int) -> None:
        for handle in handles:
            one = self._events.remove(handle)
            if one is not None:
                self._events.keep_letter(one.event, reason, attempts)

    async def backlog(self) -> Backlog:
        events = self._events
        dropped, events.dropped = events.dropped, 0
        if events.waiting:
            events.found.set()
        oldest = next((one.came for one in events.waiting.values()), None)
        stopped = bool(events.stopped) and events.stopped == events.bounds.receiver
        return Backlog(len(events.waiting), oldest, dropped, len(events.dead), stopped)

    async def stop(self) -> None:
        self._events.stopped = self._events.bounds.receiver

    async def resume(self) -> None:
        self._events.stopped = ""

    async def dead(self, after: str, limit: int) -> Sequence[DeadLetter]:
        later = (one for one in self._events.dead.values() if not after or _number(one.id) > _number(after))
        return list(islice(later, limit))

    async def replay(self, ids: Sequence[str]) -> int:
        letters = [letter for letter in map(self._forgotten, ids) if letter is not None]
        for letter in letters:
            self._events.queue(letter.event, len(encode_event(letter.event)))
        return len(letters)

    async def forget(self, ids: Sequence[str]) -> int:
        return sum(self._forgotten(id) is not None for id in ids)

    def _forgotten(self, id: str) -> DeadLetter | None:
        return self._events.dead.pop(id, None)


def _number(handle: str) -> int:
    return int(handle.partition(".")[2].partition("-")[0])
