"""The Bus port: how pods send messages to each other, and read the history of rooms."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Protocol

from forestay.core.rules.policies import Retention
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position

PAGE_BYTES: Final = 2**20
"""Bytes of a page, unless its reader asks for less."""


class Outcome(Enum):
    """What became of a publish."""

    ACCEPTED = "the bus has it"
    REFUSED = "the bus does not have it"
    UNKNOWN = "the bus may have it"


class Cause(Enum):
    """Why the bus does not have a message, where more is known than that it is away."""

    FULL = "the bus has no memory left"
    NEW_ROOM = "the room has no history yet, and the publish may not create one"
    KEY_REUSED = "the key belongs to another message"


class Settlement(NamedTuple):
    """The outcome of one publish."""

    outcome: Outcome
    position: Position | None = None
    """The position of an accepted message in a room with history."""
    cause: Cause | None = None
    """Why it was refused, where that is known."""
    retry_after: float = 0.0
    """Seconds after which a new room will be allowed, where that was the cause."""


@dataclass(frozen=True, slots=True)
class Query:
    """A part of a room's history: after `since`, before `before`, or the newest. The bounds are exclusive."""

    limit: int
    since: Position | None = None
    before: Position | None = None
    max_bytes: int = PAGE_BYTES
    """Bytes that the messages of the page may have together, as the bus keeps them. The first one always comes."""


@dataclass(frozen=True, slots=True)
class Page:
    """The answer to a Query."""

    top: Position
    """The position of the room when it was read. Its next message comes after it."""
    messages: Sequence[Message]
    """Oldest first."""
    whole: bool
    """Whether no message is missing between `since` and the first one: same epoch, and nothing trimmed."""
    more: bool
    """Whether the limit or `max_bytes` cut off messages. Such a page has a message, unless the limit is 0."""


class Forgotten(NamedTuple):
    """What was deleted of the history of a room."""

    messages: int
    """How many there were."""
    top: Position | None
    """The position of the room, which stays. Its next message comes after it. None where it has none."""


class BusLost(Exception):
    """The bus cannot be reached."""


class BusFull(BusLost):
    """The bus has no memory left for what it was asked to keep. It did nothing."""


class AnswerLost(BusLost):
    """The bus was asked and did not answer. It may have done what it was asked to do."""


Settled = Callable[[Settlement], None]


class Subscriber(Protocol):
    """Takes what the bus delivers of one room. Nothing here blocks or raises."""

    def confirmed(self) -> None:
        """From now on each accepted message is received, or the room is doubted. Called once."""

    def received(self, message: Message) -> None:
        """A message of the room has come."""

    def doubted(self) -> None:
        """Messages may be missing between the last one that was received and the next one."""


class Bus(Protocol):
    """How pods send messages to each other. Every message goes over the bus, also to members on the same pod.

    A bus promises:

    - All subscribers of a room get its messages in one order. With positions it is the order of the positions.
    - Messages that one caller publishes one after the other keep their order.
    - Where a subscriber may have missed messages, it is doubted.
    - Only `history`, `forget`, `positions` and `start` wait, and only these raise.
    """

    def publish(
        self,
        message: Message,
        settled: Settled | None = None,
        *,
        kept: Retention | None = None,
        key: str | None = None,
        create: bool = True,
        told: bytes | None = None,
    ) -> None:
        """Offer `message`. `settled` gets the outcome; it may be called before this returns.

        `kept`: keep the message in the history of its room, and give it a position. `key`: within 300 s, the same key
        of the same sender in the same room is published once, and a repeat settles as the first; only with `kept`. With
        another content, see `content_digest`, it is refused with Cause.KEY_REUSED.
        `create`: whether a room without history gets one; else the message is refused there with Cause.NEW_ROOM.
        `told`: the event of the message for the receiver of webhooks. It waits from the moment when the message is
        accepted, and a repeat by `key` tells nothing.
        """

    def subscribe(self, room: RoomName, subscriber: Subscriber) -> None:
        """Deliver the messages of `room` to `subscriber`. It may be confirmed before this returns."""

    def unsubscribe(self, room: RoomName) -> None:
        """Deliver nothing more of `room`."""

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        """Read the history of a room that has one. Raises BusLost.

        It stores nothing about a room. A room without messages has an epoch all the same, which its first message
        takes: a client that has joined it can resume from there.
        """

    async def forget(self, room: RoomName) -> Forgotten:
        """Delete the messages that the history of `room` has. Raises BusLost; a repeat is safe.

        Epoch and offset stay, so a reader that comes back with an older position is told that messages are missing.
        Keys stay too, so a repeated publish is still published once.
        """

    async def positions(self, rooms: Collection[RoomName]) -> Mapping[RoomName, Position]:
        """The current positions of rooms with history, read together. A room without any message is left out.

        It also keeps the positions alive, so that a quiet room with members does not start again. Raises BusLost.
        """

    @property
    def up(self) -> bool:
        """Whether what this pod publishes comes back to it, as far as is known without asking."""

    @property
    def round_trip(self) -> float | None:
        """Seconds that the last probe took, on the slowest node; None before the first one."""

    async def start(self) -> None:
        """Connect. Raises BusLost if the configuration can never work. A bus that is only away raises nothing."""

    async def close(self) -> None:
        """Settle what is under way, and disconnect."""


class Unavailable(Refusal):
    """The bus did not take a request. A repeat is safe."""

    def __init__(self, *, full: bool = False) -> None:
        """`full`: because it has no memory left."""
        message = "the bus does not take messages right now; try again"
        if full:
            message = "the bus is full: it has no memory left to keep this; try again later, or tell the operator"
        super().__init__(ErrorCode.UNAVAILABLE, message, retry_after=5.0 if full else 1.0)

    @classmethod
    def because(cls, lost: BusLost) -> "Unavailable":
        """The refusal of a request that met `lost`."""
        return cls(full=isinstance(lost, BusFull))


class OutcomeUnknown(Refusal):
    """The bus may or may not have taken a publish."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.OUTCOME_UNKNOWN, "the bus did not answer in time; the message may have been sent")
