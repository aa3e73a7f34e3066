"""The Observer port: receives facts about what happens in the core, to count, log or trace them.

Facts about every message are no part of it: they are numbers of `core/facts/traffic.py`.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from forestay.core.facts.source import Source
from forestay.core.rules.hooks import Hook
from forestay.protocol.codes import Ending, ErrorCode
from forestay.protocol.names import RoomName
from forestay.protocol.trace import TraceContext

ACTIONS: Final = (
    "disconnect",
    "drain",
    "forget",
    "forget_history",
    "forget_user",
    "join",
    "remove",
    "replay",
    "resume",
    "revoke",
    "shed",
)
"""What backends change: the connections of a user, its places in rooms, its tokens, pods, and the events and dead
letters of webhooks."""


class RefusedMessage(NamedTuple):
    """A client's message that is not delivered, as far as it could be read."""

    trace: TraceContext | None
    """The trace context that the client sent with it."""
    pattern: str | None
    """The pattern that the room's name matched; None where it names no room."""
    offered: bool = False
    """Whether it was offered to the bus. `published` then reports the outcome."""


class Client(NamedTuple):
    """The client that a fact is about."""

    connection: str
    """The id of its connection."""
    user: str
    wire: str


class TurnedAway(NamedTuple):
    """A client that may not connect."""

    status: int
    """Of the answer over HTTP."""
    code: ErrorCode
    reason: str
    """In words, without a secret."""
    address: str | None
    user: str | None = None
    """Where the signature of its token was verified: a name that is only claimed is nobody's."""


class Observer:
    """Ignores every fact. A subclass overrides the methods for the facts that it needs.

    The core reports facts once, where they happen, and counts nothing itself. Every method is called from the event
    loop, must not block and must not raise.
    """

    def connected(self, user: str) -> None:
        """A client was welcomed."""

    def refused(
        self, code: ErrorCode, source: Source, message: RefusedMessage | None, room: str | None, client: Client | None
    ) -> None:
        """A request was refused. `message`: where the request was to publish one.

        `room`: as the client wrote it, of any length. `client`: None where the request came alone, over HTTP.
        """

    def turned_away(self, client: TurnedAway) -> None:
        """A client may not connect."""

    def answered(self, outcome: str) -> None:
        """A backend's request was answered: `ok`, the code of the refusal, or `failed` because of a bug."""

    def key_refused(self, reason: str) -> None:
        """A backend's request had no good key: `missing` or `unknown`."""

    def managed(self, action: str, result: str) -> None:
        """A backend asked for one of ACTIONS. `result`: `ok`, `refused`, or `failed` (a bug)."""

    def removed(self, room: RoomName, reason: str, client: Client) -> None:
        """A client was taken out of a room: `removed` by a backend, `forbidden` by the rights of its new token."""

    def slow(self, policy: str, client: Client) -> None:
        """A client became slow. `policy`: what happens to it."""

    def bus(self, event: str) -> None:
        """An event of the bus, from a closed set, as docs/operating.md lists them."""

    def gap_filled(self, room: RoomName, messages: int) -> None:
        """A pod missed this number of messages of a room, and read them from the history."""

    def resynced(self, room: RoomName, reason: str, recipients: int, client: Client | None) -> None:
        """Members of a room got `resync`, because messages are lost. `reason`: `lost`, `missed` or `slow`.

        `client`: where it is only one of them.
        """

    def ended(self, client: Client, ending: Ending, seconds: float) -> None:
        """A connection has ended after so many seconds. Its code is 1006 where no close frame was sent."""

    def relocated(self, reason: str, outcome: str) -> None:
        """A connection that was asked to move is gone. `outcome`: `client_closed`, `server_closed` or `aborted`.

        `reason`: why it was asked, `draining`, `rebalancing` or `age`.
        """

    def handshake(self, outcome: str, since: float, trace: TraceContext | None) -> None:
        """An upgrade request was answered: `ok`, `lost` or the status of the refusal, from a closed set.

        `since`: when the request came, by `Runtime.perf`. `trace`: the caller's context.
        """

    def webhook_request(self, result: str) -> None:
        """A request to the receiver of webhooks has ended: `delivered`, or why not, from a closed set."""

    def webhook_events(self, outcome: str, events: int) -> None:
        """So many events were `delivered`, became `dead` letters, or were `dropped` at the bound of the queue."""

    def hook(self, hook: Hook, outcome: str, seconds: float) -> None:
        """The application was asked, or told: `allowed`, `refused`, `told`, or why it failed, one of FAILURES."""

    def hook_failed(self, hook: Hook, failure: str, cause: str) -> None:
        """Why it failed, in words, without a secret."""

    def unknown_session(self) -> None:
        """A Socket.IO request named a session that is not on this pod."""


_FACTS: Final = tuple(name for name in vars(Observer) if not name.startswith("_"))


def together(*observers: Observer) -> Observer:
    """One observer for several: it passes each fact on, in this order, to those that override its method."""
    all_of_them = Observer()
    for fact in _FACTS:
        tells = [getattr(one, fact) for one in observers if getattr(type(one), fact) is not getattr(Observer, fact)]
        if tells:
            # Most facts have one observer that handles them. Its method is then called directly.
            setattr(all_of_them, fact, tells[0] if len(tells) == 1 else _tell_each(tells))
    return all_of_them


def _tell_each(tells: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*facts: object, **named: object) -> None:
        for one in tells:
            one(*facts, **named)

    return tell
