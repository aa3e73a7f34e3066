"""The Observer port: receives facts about what happens in the core, to count, log or trace them."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from forestay.core.ports.bus import Outcome
from forestay.protocol.codes import ErrorCode
from forestay.protocol.message import Message
from forestay.protocol.trace import TraceContext

Arrival = tuple[Message, int, float]
"""A message, the number of members it is for, and the time when it came from the bus, by `Runtime.perf`."""


class Source(NamedTuple):
    """Where a message came from."""

    since: float
    """When it came, by `Runtime.perf`."""
    connection: str | None = None
    """The id of the sender's connection; None where it came in an HTTP request."""
    by_client: bool = True
    """Whether a client sent it, and not a backend."""


class RefusedMessage(NamedTuple):
    """A client's message that is not delivered, as far as it could be read."""

    trace: TraceContext | None
    """The trace context that the client sent with it."""
    pattern: str | None
    """The pattern that the room's name matched; None where it names no room."""
    offered: bool = False
    """Whether it was offered to the bus. `published` then reports the outcome."""


class Observer:
    """Ignores every fact. A subclass overrides the methods for the facts that it needs.

    The core reports facts once, where they happen, and counts nothing itself. Every method is called from the event
    loop, must not block and must not raise.
    """

    def connected(self, user: str) -> None:
        """A client was welcomed."""

    def received(self, kind: str, size: int) -> None:
        """A client sent a message. `kind`: the type of the request, `binary` or `unreadable`. `size`: bytes."""

    def published(self, message: Message, outcome: Outcome, seconds: float) -> None:
        """The outcome of a message that was offered to the bus, `seconds` after the offer."""

    def delivered(self, message: Message, recipients: int) -> None:
        """A message was queued for `recipients` members of its room on this pod."""

    def written(self, arrivals: Sequence[Arrival], started: float, unix: float) -> None:
        """A pass has written the messages of one room to its members on this pod.

        `started`: when the pass began, by `Runtime.perf`. `unix`: when its last write was done, Unix seconds.
        """

    def flushed(self, writes: int, size: int, seconds: float) -> None:
        """A pass has ended: the number of writes, their bytes, and how long it took."""

    def refused(self, code: ErrorCode, source: Source, message: RefusedMessage | None) -> None:
        """A request was refused. `message`: where the request was to publish one."""

    def answered(self, outcome: str) -> None:
        """A backend's request was answered: `ok`, the code of the refusal, or `failed` because of a bug."""

    def key_refused(self, reason: str) -> None:
        """A backend's request had no good key: `missing` or `unknown`."""

    def managed(self, action: str, result: str) -> None:
        """A backend asked to `disconnect` a user or `revoke` tokens. `result`: `ok`, `refused`, or `failed` (a bug)."""

    def slow(self, policy: str) -> None:
        """A client became slow. `policy`: what happens to it."""

    def bus(self, event: str) -> None:
        """An event of the bus, from a closed set, as docs/operating.md lists them."""

    def gap_filled(self, messages: int) -> None:
        """A pod missed this number of messages of a room, and read them from the history."""

    def resynced(self, reason: str, recipients: int) -> None:
        """Members of a room got `resync`, because messages are lost. `reason`: `lost`, `missed` or `slow`."""

    def ended(self, code: int, seconds: float, *, by_client: bool) -> None:
        """A connection has ended, with its close code (1006: none was sent) and its lifetime.

        `by_client`: the client closed it, or the connection broke; else the gateway ended it.
        """

    def relocated(self, reason: str, outcome: str) -> None:
        """A connection that was asked to move is gone. `outcome`: `client_closed`, `server_closed` or `aborted`.

        `reason`: why it was asked, `draining`, `rebalancing` or `age`.
        """

    def handshake(self, outcome: str, since: float, trace: TraceContext | None) -> None:
        """An upgrade request was answered: `ok`, `lost` or the status of the refusal, from a closed set.

        `since`: when the request came, by `Runtime.perf`. `trace`: the caller's context.
        """

    def unknown_session(self) -> None:
        """A Socket.IO request named a session that is not on this pod."""


_FACTS: Final = tuple(name for name in vars(Observer) if not name.startswith("_"))


def together(*observers: Observer) -> Observer:
    """One observer for several: it passes each fact on, in this order, to those that override its method."""
    all_of_them = Observer()
    for fact in _FACTS:
        tells = [getattr(one, fact) for one in observers if getattr(type(one), fact) is not getattr(Observer, fact)]
        if tells:
            # Nearly every fact has one observer that handles it. Its method is then called directly.
            setattr(all_of_them, fact, tells[0] if len(tells) == 1 else _tell_each(tells))
    return all_of_them


def _tell_each(tells: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*facts: object, **named: object) -> None:
        for one in tells:
            one(*facts, **named)

    return tell
