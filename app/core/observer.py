"""The Observer port: whoever is told what happens, to count it, to write it down or to trace it."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from app.core.ports import Outcome
from app.protocol.codes import ErrorCode
from app.protocol.message import Message
from app.protocol.trace import TraceContext

Arrival = tuple[Message, int, float]
"""A message, how many members it is for, and the loop time at which it came from the bus."""


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
