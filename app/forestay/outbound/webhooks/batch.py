"""A batch: events that are sent in one request, and how often that was tried."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from msgspec.json import encode as to_json

from forestay.core.ports.webhooks import QueuedEvent
from forestay.protocol.webhooks import encode_event

MAX_BYTES: Final = 2**20
"""Bytes of the body of one request. One event always goes."""


@dataclass(slots=True)
class Batch:
    """Events that are sent together. After each failure all of them are sent again, or two halves of them."""

    events: Sequence[QueuedEvent]
    attempts: int = 0
    due: float = 0.0
    """The loop's time from which on it is sent again."""

    @property
    def handles(self) -> list[str]:
        return [one.handle for one in self.events]

    @property
    def id(self) -> str:
        """The same for the same events: that of the only event, or one of all of them together."""
        if len(self.events) == 1:
            return self.events[0].event.id
        digest = sha256("\n".join(one.event.id for one in self.events).encode()).hexdigest()
        return f"batch_{digest[:24]}"

    def halves(self) -> tuple["Batch", "Batch"]:
        """Two batches with the events of this one, which has at least two. Each has been tried as often."""
        middle = len(self.events) // 2
        return Batch(self.events[:middle], self.attempts, self.due), Batch(
            self.events[middle:], self.attempts, self.due
        )

    def body(self, timestamp: str, *, alone: bool) -> bytes:
        """The body of the request. `timestamp`: of the request. `alone`: each request has one event, and no list."""
        events = [encode_event(one.event) for one in self.events]
        if alone and len(events) == 1:
            return events[0]
        return b'{"type":"batch","timestamp":%b,"data":{"events":[%b]}}' % (to_json(timestamp), b",".join(events))


def batches(events: Sequence[QueuedEvent], most: int) -> Iterable[Batch]:
    """Batches of `most` events at most, in the order of `events`."""
    part: list[QueuedEvent] = []
    size = 0
    for one in events:
        added = len(encode_event(one.event)) + 1
        if part and (len(part) == most or size + added > MAX_BYTES):
            yield Batch(part)
            part, size = [], 0
        part.append(one)
        size += added
    if part:
        yield Batch(part)
