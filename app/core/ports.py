"""What the core asks of the world: a Bus, a Verifier, a Socket and an Observer.

Each is implemented outside the core and handed in by the composition root. They are the whole extension surface.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from app.core.access import Identity
from app.protocol.codes import Ending, ErrorCode, Refusal
from app.protocol.message import Message, Position
from app.protocol.names import RoomName
from app.protocol.trace import TraceContext


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
class Retention:
    """How much of a room's past is kept."""

    size: int
    """Messages."""
    ttl: float
    """Seconds that they live after the last one."""


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
Arrival = tuple[Message, int, float]
"""A message, how many members it is for, and the loop time at which it came from the bus."""
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


class Verifier(Protocol):
    """A token becomes an identity, or does not."""

    async def verify(self, token: str) -> Identity:
        """Raises Refusal with BAD_TOKEN, or UNAVAILABLE where the keys cannot be had now, and nothing else."""

    async def close(self) -> None: ...


class Socket(Protocol):
    """One client's connection to us, as much of it as the core needs. Nothing here blocks or raises."""

    def write(self, data: bytes, /) -> None:
        """Send finished frames, after everything written before."""

    def buffered(self) -> int:
        """Bytes written that the kernel has not taken yet."""

    def closed(self) -> bool:
        """Whether writing has become pointless: closed, closing or broken."""

    def close(self, ending: Ending) -> None:
        """Say goodbye with a close frame; nothing is written behind it."""


class Source(NamedTuple):
    """Where a message came from."""

    since: float
    """When it came, in the loop's time."""
    connection: str | None = None
    """Whose it is, by id; None: a backend's."""


class Observer(Protocol):
    """Whoever wants to know what happens. The core reports facts once, where they happen, and counts nothing itself.

    Every method is called from the event loop, must not block and must not raise.
    """

    def connected(self, user: str) -> None: ...

    def received(self, kind: str, size: int) -> None:
        """A client said something: the sentence's type, `binary` or `unreadable`, and its length."""

    def publishing(self, message: Message, source: Source, pattern: str, *, traced: bool) -> TraceContext | None:
        """A message is about to be given to the bus; the trace context that travels with it from here on.

        `message.trace` is still the caller's. `pattern`: the one that its room's name matched. `traced`: receivers are
        shown the context.
        """

    def published(self, message: Message, outcome: Outcome, seconds: float) -> None:
        """What became of a message that was offered to the bus, `seconds` later.

        Its trace context is what `publishing` said.
        """

    def rejected(self, code: ErrorCode, source: Source, pattern: str | None, trace: TraceContext | None) -> None:
        """A client's message was not given to the bus: the code of the refusal, which `refused` is told as well.

        `pattern` is None where no room can be made out. `trace` is the client's.
        """

    def delivered(self, message: Message, recipients: int) -> None:
        """A message was handed to `recipients` members of its room on this pod."""

    def written(self, arrivals: Sequence[Arrival], pattern: str, dropped: int, started: float, unix: float) -> None:
        """A delivery pass has written the messages of one room, each once for all its members on this pod.

        `pattern`: the one that the room's name matched. `dropped`: members who did not get them, because they are slow.
        `started`: when the pass began, loop time. `unix`: when its last write was done, Unix seconds.
        """

    def flushed(self, writes: int, size: int, seconds: float) -> None:
        """One delivery pass: socket writes, bytes, and how long it took."""

    def refused(self, code: ErrorCode, connection: str, trace: TraceContext | None) -> None:
        """A client was told no. `connection`: its id. `trace`: the context that its message brought along."""

    def slow(self, policy: str) -> None:
        """A client fell behind; `policy` says what is done about it."""

    def bus(self, event: str) -> None:
        """Something about the bus worth counting, from a closed set: `connected`, `lost`, `deaf`, `garbage`."""

    def gap_filled(self, messages: int) -> None:
        """A room had missed so many messages; they were read from its history and delivered late."""

    def resynced(self, reason: str, recipients: int) -> None:
        """So many members of a room were told that messages are lost: `lost`, `missed`, or `slow`."""

    def ended(self, code: int, seconds: float, *, by_client: bool) -> None:
        """A connection is over: the close code that was on the wire (1006: none), and how long it lived.

        `by_client`: it closed or broke off, in words of its own; else we ended it.
        """

    def relocated(self, reason: str, outcome: str) -> None:
        """Who was asked to connect elsewhere is gone: `client_closed` before we had to, `server_closed`, or `aborted`.

        `reason`: why it was asked, `draining`, `rebalancing` or `age`.
        """

    def handshake(self, outcome: str, since: float, trace: TraceContext | None) -> None:
        """An upgrade was answered: `ok`, `lost` or the refusal's status, from a closed set.

        `since`: when the request came, in the loop's time. `trace`: the caller's context.
        """


class Unavailable(Refusal):
    """The bus did not take a publish; the sender may try again after a moment."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the bus does not take messages right now; try again", retry_after=1.0)


class OutcomeUnknown(Refusal):
    """Nobody can say whether a publish was accepted."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.OUTCOME_UNKNOWN, "the bus did not answer in time; the message may have been sent")


@dataclass(frozen=True, slots=True)
class World:
    """Time, names and somebody who watches: given to the core, so that a test can give others."""

    loop: AbstractEventLoop
    """Schedules, and tells monotonic time in seconds."""
    clock: Callable[[], float]
    """Unix seconds."""
    new_id: Callable[[], str]
    """A name that no connection on any pod has had."""
    uniform: Callable[[float, float], float]
    """A random number between two."""
    observer: Observer | None = None
    """None where nobody listens: facts then cost a comparison."""
