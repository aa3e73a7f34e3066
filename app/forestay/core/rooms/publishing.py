"""Publishes messages on the bus, and reads the history of rooms.

Messages of clients and of backends take the same way. A message is never delivered directly, also not to members on
this pod.
"""

from asyncio import Future
from typing import Final

from forestay.core.facts.source import Source
from forestay.core.ports.bus import (
    Bus,
    BusLost,
    Cause,
    Forgotten,
    Outcome,
    OutcomeUnknown,
    Page,
    Query,
    Settlement,
    Unavailable,
)
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.tracer import Leg, Tracer
from forestay.core.rooms.user_budgets import Reservation, UserBudgets
from forestay.core.rooms.webhook_events import WebhookEvents
from forestay.core.rules.budgets import NO_LIMITS, UserAmounts
from forestay.core.rules.policies import Policies, Policy, Retention, Webhook
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.delivered_size import MOST_ADDED, largest_form
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.timestamps import Stamps

_ACCEPTED: Final = Outcome.ACCEPTED


class Offer:
    """A message that is offered to the bus. A subclass says where it came from, and what its outcome leads to.

    It is one object for each message, and not a closure for each that waits for the outcome.
    """

    __slots__ = ("leg", "message", "publisher", "reservation", "since")

    def __init__(self, message: Message, since: float) -> None:
        """`since`: when the message came, by `Runtime.perf`."""
        self.message = message
        self.since = since
        self.publisher: Publisher | None = None
        """The one that offers it. It also writes the fields below."""
        self.leg: Leg | None = None
        """The way of the message over the bus, where it is traced."""
        self.reservation: Reservation | None = None
        """What its user may have to pay for it."""

    def source(self) -> Source:
        """Where the message came from."""
        raise NotImplementedError

    def settled(self, settlement: Settlement) -> None:
        """The bus has said what became of the message."""
        raise NotImplementedError

    def settle(self, settlement: Settlement) -> None:
        """Take the outcome from the bus."""
        if self.publisher is not None:
            self.publisher.count(self, settlement.outcome)
        if self.leg is not None:
            self.leg.end(settlement.outcome)
        if self.reservation is not None:
            settlement = self.reservation.settle(settlement)
        self.settled(settlement)


class _Awaited(Offer):
    """An offer whose outcome somebody awaits."""

    __slots__ = ("_outcome", "_source")

    def __init__(self, message: Message, source: Source, outcome: Future[Settlement]) -> None:
        super().__init__(message, source.since)
        self._source = source
        self._outcome = outcome

    def source(self) -> Source:
        return self._source

    def settled(self, settlement: Settlement) -> None:
        if not self._outcome.done():
            self._outcome.set_result(settlement)


class Publisher:
    """The only part that publishes room messages."""

    def __init__(
        self, runtime: Runtime, bus: Bus, policies: Policies, largest: int, amounts: UserAmounts = NO_LIMITS
    ) -> None:
        """`largest`: bytes of the largest message that a client gets. `amounts`: what users may leave on the bus."""
        self._budgets = UserBudgets(runtime.loop, amounts)
        self._events = WebhookEvents(runtime, policies)
        self._loop = runtime.loop
        self._clock = runtime.clock
        self._perf = runtime.perf
        self._traffic = runtime.traffic
        self._watching = runtime.watching
        self._tracer = runtime.tracer
        self._sampler = None if runtime.tracer is None else runtime.tracer.sampler
        self._stamps = Stamps(runtime.clock)
        self._policies = policies
        self._bus = bus
        self._largest = largest
        self._surely_fits = largest - MOST_ADDED

    def stamp(self) -> str:
        """The `timestamp` of a message that this pod accepts now."""
        return self._stamps.now()

    def publish(self, offer: Offer, key: str | None = None) -> None:
        """Give the message of `offer` to the bus, once. `key` makes a repeat safe. Raises Refusal."""
        message = offer.message
        policy = self._policies.of(message.room)
        # Binary messages are never kept.
        kept = None if message.binary else policy.history
        if key is not None and kept is None:
            raise Refusal(
                ErrorCode.KEY_NEEDS_HISTORY, "'key' needs a room with history; this room has none, so leave it out"
            )
        if len(message.payload) > self._surely_fits:
            self.check_size(message)
        create = True
        if kept is not None and message.sender is not None:
            offer.reservation = reservation = self._budgets.begin(message.sender, key)
            create = reservation.create
        if self._tracer is not None and self._sampler is not None:
            new = self._sampler.kept()
            if new or message.trace is not None or policy.trace:
                _trace(self._tracer, offer, policy, kept=new)
        offer.publisher = self
        told = None
        # Most rooms have none, and this is cheaper to ask for.
        if policy.webhooks and Webhook.MESSAGE in policy.webhooks:
            told = self._events.message(offer.message)
        if self._watching.active:
            self._watching.published(offer.message)
        self._bus.publish(offer.message, offer.settle, kept=kept, key=key, create=create, told=told)

    def count(self, offer: Offer, outcome: Outcome) -> None:
        """Count how long it took until the outcome was known."""
        seconds, traffic = self._perf() - offer.since, self._traffic
        if outcome is _ACCEPTED:
            histogram = traffic.accepted
        else:
            histogram = traffic.refused if outcome is Outcome.REFUSED else traffic.unknown
        histogram.observe(seconds)
        if traffic.exemplars and offer.message.trace is not None:
            histogram.illustrate(seconds, offer.message.trace, self._clock())

    def check_size(self, message: Message) -> None:
        """Raises Refusal where a receiver would get more bytes than a message may have."""
        policy = self._policies.of(message.room)
        kept = policy.history is not None and not message.binary
        excess = largest_form(message, kept=kept, traced=policy.trace) - self._largest
        if excess > 0:
            form = "receivers, and readers of the history," if kept else "receivers"
            raise Refusal(
                ErrorCode.TOO_LARGE,
                f"{form} would get {excess + self._largest} bytes, and a message has at most {self._largest}; "
                f"make the payload {excess} bytes smaller",
            )

    async def accepted(self, message: Message, source: Source, key: str | None = None) -> Position | None:
        """Publish `message` and wait for the outcome. Returns its position in the room's history. Raises Refusal."""
        result = await self.offered(message, source, key)
        refusal = refusal_of(result)
        if refusal is not None:
            raise refusal
        return result.position

    def offered(self, message: Message, source: Source, key: str | None = None) -> Future[Settlement]:
        """Publish `message`, before this returns. The future gets the outcome. Raises Refusal."""
        outcome: Future[Settlement] = self._loop.create_future()
        self.publish(_Awaited(message, source, outcome), key)
        return outcome

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        """Read the history of a room. Raises Refusal."""
        try:
            return await self._bus.history(room, query, kept)
        except BusLost as lost:
            raise Unavailable.because(lost) from None

    async def forget(self, room: RoomName) -> Forgotten:
        """Delete the messages that the history of `room` has. Raises Refusal."""
        try:
            return await self._bus.forget(room)
        except BusLost as lost:
            raise Unavailable.because(lost) from None


def _trace(tracer: Tracer, offer: Offer, policy: Policy, *, kept: bool) -> None:
    """Begin the way of the message over the bus where it is traced, and give it its trace context.

    `kept`: see Tracer.begin.
    """
    message = offer.message
    offer.leg = leg = tracer.begin(message, offer.source(), policy, kept=kept)
    trace = None if leg is None else leg.trace
    if trace is not message.trace:
        offer.message = traced = message.copy()
        traced.trace = trace


def refusal_of(settlement: Settlement) -> Refusal | None:
    """The refusal that the sender gets; None where the bus has the message."""
    # First what is by far the most frequent. A constant is quicker than a name of an Enum.
    if settlement.outcome is _ACCEPTED:
        return None
    return OutcomeUnknown() if settlement.outcome is Outcome.UNKNOWN else _refusal_because(settlement)


def _refusal_because(settlement: Settlement) -> Refusal:
    if settlement.cause is Cause.NEW_ROOM:
        message = "you have made too many new rooms with history in the last hour; rooms that exist still take messages"
        return Refusal(ErrorCode.RATE_LIMITED, message, retry_after=settlement.retry_after)
    if settlement.cause is Cause.KEY_REUSED:
        message = "another message was published with this key in the last five minutes; give each message its own key"
        return Refusal(ErrorCode.KEY_REUSED, message)
    return Unavailable(full=settlement.cause is Cause.FULL)
