"""The WebhookQueue port: the events that wait for the receiver of webhooks, and those that could not be delivered.

The bus and the registry put events into the queue, in the same step as what they tell of. Each event is delivered at
least once: a pod takes it for the time of a lease and removes it when it is delivered. Where the pod does not come back
to it in time, another pod takes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from forestay.protocol.webhooks import WebhookEvent

MOST_DEAD: Final = 10_000
"""Dead letters that are kept. On a Cluster each partition keeps a sixteenth of them."""

DEAD_TTL: Final = 30 * 86_400
"""Seconds for which dead letters are kept after the last one."""


HANDLE: Final = r"[0-9]{1,3}\.[0-9]{1,19}-[0-9]{1,19}"
"""The form of the handle of an event, and of the id of a dead letter."""


@dataclass(frozen=True, slots=True)
class EventBounds:
    """How much waits for the receiver. Beyond it the oldest events are dropped, and counted."""

    events: int
    bytes: int
    receiver: str = ""
    """Stands for the receiver. One that has stopped gets no events until `resume`, or until another one is set."""


NO_EVENTS: Final = EventBounds(0, 0)
"""Where there is no receiver."""


class QueuedEvent(NamedTuple):
    """An event that this pod has taken."""

    handle: str
    """Names it for the queue."""
    event: WebhookEvent


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the receiver, on all pods together."""

    waiting: int
    """Events that are not delivered, those that a pod has taken included."""
    oldest: float | None
    """When the oldest of them came, in Unix seconds; None where there is none."""
    dropped: int
    """Events dropped at the bound. Each is reported once, to one pod."""
    dead: int
    """Dead letters."""
    stopped: bool
    """Whether the receiver has stopped."""

    def lag(self, now: float) -> float:
        """Seconds since the oldest event came that is not delivered. `now`: Unix seconds."""
        return 0.0 if self.oldest is None else max(0.0, now - self.oldest)


NOTHING_WAITS: Final = Backlog(0, None, 0, 0, stopped=False)


class DeadLetter(NamedTuple):
    """An event that could not be delivered."""

    id: str
    """Names the letter. One event may become a dead letter again."""
    event: WebhookEvent
    reason: str
    """Why the last attempt failed."""
    attempts: int
    time: str
    """When it became one: RFC 3339, UTC."""


class WebhookQueue(Protocol):
    """The events of all pods. All methods raise BusLost. Handles and ids have the form HANDLE."""

    async def take(self, most: int) -> Sequence[QueuedEvent]:
        """At most `most` events, for the time of a lease. Waits until there is one."""

    async def hold(self, handles: Sequence[str]) -> None:
        """Keep what this pod has taken for another lease."""

    async def done(self, handles: Sequence[str]) -> None:
        """Remove events that are delivered."""

    async def give_back(self, handles: Sequence[str]) -> None:
        """Let other pods take these events at once."""

    async def set_aside(self, handles: Sequence[str], reason: str, attempts: int) -> None:
        """Make these events dead letters."""

    async def backlog(self) -> Backlog:
        """What waits. Also notices events that nobody delivers, so that `take` finds them."""

    async def stop(self) -> None:
        """Queue no more events for the receiver, on all pods. Those that wait stay."""

    async def resume(self) -> None:
        """Queue events for the receiver again."""

    async def dead(self, after: str, limit: int) -> Sequence[DeadLetter]:
        """The dead letters after the one with the id `after`; empty: from the first one."""

    async def replay(self, ids: Sequence[str]) -> int:
        """Queue these dead letters again. Returns how many of them there were."""

    async def forget(self, ids: Sequence[str]) -> int:
        """Delete these dead letters. Returns how many of them there were."""
