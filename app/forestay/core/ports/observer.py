"""The Observer port: whoever is told what happens, to count it, to write it down or to trace it."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from forestay.core.ports.bus import Outcome
from forestay.protocol.codes import ErrorCode
from forestay.protocol.message import Message
from forestay.protocol.trace import TraceContext

Arrival = tuple[Message, int, float]
"""A message, how many members it is for, and the loop time at which it came from the bus."""


class Source(NamedTuple):
    """Where a message came from."""

    since: float
    """When it came, in the loop's time."""
    connection: str | None = None
    """Whose it is, by id; None: a backend's."""


class RefusedMessage(NamedTuple):
    """A client's message that is not delivered, as far as it was understood."""

    trace: TraceContext | None
    """The context that it brought along."""
    pattern: str | None
    """The one that its room's name matched; None where no room can be made out."""
    offered: bool = False
    """The bus was offered it, and `published` tells what became of it."""


class Observer:
    """Whoever wants to know what happens, and overrides what it wants to know.

    The core reports facts once, where they happen, and counts nothing itself. Every method is called from the event
    loop, must not block and must not raise.
    """

    def connected(self, user: str) -> None:
        """A client was welcomed."""

    def received(self, kind: str, size: int) -> None:
        """A client said something: the sentence's type, `binary` or `unreadable`, and its length."""

    def published(self, message: Message, outcome: Outcome, seconds: float) -> None:
        """What became of a message that was offered to the bus, `seconds` later."""

    def delivered(self, message: Message, recipients: int) -> None:
        """A message was handed to `recipients` members of its room on this pod."""

    def written(self, arrivals: Sequence[Arrival], started: float, unix: float) -> None:
        """A delivery pass has written the messages of one room, each once for all its members on this pod.

        `started`: when the pass began, loop time. `unix`: when its last write was done, Unix seconds.
        """

    def flushed(self, writes: int, size: int, seconds: float) -> None:
        """One delivery pass: socket writes, bytes, and how long it took."""

    def refused(self, code: ErrorCode, source: Source, message: RefusedMessage | None) -> None:
        """A client was told no. `message`: what it wanted to be delivered, if it was that."""

    def answered(self, outcome: str) -> None:
        """A backend's request was answered: `ok`, the refusal's code, or `failed` where the fault is ours."""

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


_FACTS: Final = tuple(name for name in vars(Observer) if not name.startswith("_"))


def together(*observers: Observer) -> Observer:
    """One for several: each fact is told, in this order, to those of them who want to know it."""
    all_of_them = Observer()
    for fact in _FACTS:
        tells = [getattr(one, fact) for one in observers if getattr(type(one), fact) is not getattr(Observer, fact)]
        if tells:
            # Nearly every fact has one who wants it, and is told as if there were nobody else.
            setattr(all_of_them, fact, tells[0] if len(tells) == 1 else _tell_each(tells))
    return all_of_them


def _tell_each(tells: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*facts: object, **named: object) -> None:
        for one in tells:
            one(*facts, **named)

    return tell
