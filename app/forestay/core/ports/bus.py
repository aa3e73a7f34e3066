"""What the core asks of the world, and what it is promised: a Bus, a Verifier, a Socket.

Each is implemented outside the core and handed in by the composition root. They are the whole extension surface.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from forestay.core.rules.policies import Retention
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName


class Outcome(Enum):
    """What became of a publish."""

    ACCEPTED = "the bus has it"
    REFUSED = "the bus does not have it"
    UNKNOWN = "the bus may have it"


class Settlement(NamedTuple):
    """The outcome of one publish."""

    outcome: Outcome
    position: Position | None = None
    """Where the message stands in the room's history, where it has one and the bus has the message."""


@dataclass(frozen=True, slots=True)
class Query:
    """A part of a room's past: after `since`, before `before`, or with neither the newest. Bounds are exclusive."""

    limit: int
    since: Position | None = None
    before: Position | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to a Query."""

    top: Position
    """The room's position when it was read: where its next message comes after."""
    messages: Sequence[Message]
    """Ascending."""
    whole: bool
    """Whether nothing lies missing between `since` and the first message: same epoch, and not trimmed."""
    more: bool
    """Whether the limit cut off messages beyond these."""


class BusLost(Exception):
    """The bus could not be asked."""


Settled = Callable[[Settlement], None]
Heard = Callable[[Message], None]
Doubted = Callable[[Collection[RoomName]], None]


class Bus(Protocol):
    """How pods hear each other. Every message takes this road, also to a neighbour on the same pod.

    Promises: one order per room for all subscribers, that of the positions where there are any; messages that one
    caller published one after the other keep their order; after `confirmed`, every message accepted from then on is
    heard, or the room is doubted. Nothing but `history` and `positions` blocks or raises.
    """

    def listen(self, heard: Heard, doubted: Doubted) -> None:
        """Give every message of a subscribed room to `heard`. Called once, before anything else.

        `doubted` is told of rooms whose messages may have been missed since the last one that was heard.
        """

    def publish(
        self, message: Message, settled: Settled | None = None, *, kept: Retention | None = None, key: str | None = None
    ) -> None:
        """Offer `message`; `settled` learns its outcome, perhaps before this returns.

        `kept`: the room has a history; the message enters it and gets a position. `key`: within 300 s the same key of
        the same sender in the same room publishes once, and settles as the first time did; only with `kept`.
        """

    def subscribe(self, room: RoomName, confirmed: Callable[[], None]) -> None:
        """Hear `room` from now on; `confirmed` is called when that is so, perhaps before this returns."""

    def unsubscribe(self, room: RoomName) -> None:
        """Hear `room` no more."""

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        """Read the past of a room that has one. Raises BusLost."""

    async def positions(self, rooms: Collection[RoomName]) -> Mapping[RoomName, Position]:
        """Where these rooms with history stand now, all asked at once; a room nobody ever spoke in is left out.

        Also keeps what is known of them alive: a quiet room that somebody is in is no gap. Raises BusLost.
        """

    @property
    def up(self) -> bool:
        """Whether what this pod publishes comes back to it, as far as is known without asking."""

    @property
    def round_trip(self) -> float | None:
        """Seconds that it took the last time, where it took longest; None before the first time."""

    async def start(self) -> None:
        """Connect. Raises BusLost where that is impossible for good, not where the bus is only away."""

    async def close(self) -> None:
        """Settle what is under way and let go of everything."""


class Unavailable(Refusal):
    """The bus did not take a publish; the sender may try again after a moment."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the bus does not take messages right now; try again", retry_after=1.0)


class OutcomeUnknown(Refusal):
    """Nobody can say whether a publish was accepted."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.OUTCOME_UNKNOWN, "the bus did not answer in time; the message may have been sent")
