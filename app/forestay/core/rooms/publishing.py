"""Publishes messages on the bus, and reads the history of rooms.

Messages of clients and of backends take the same way. A message is never delivered directly, also not to members on
this pod.
"""

from asyncio import Future

from msgspec.structs import replace

from forestay.core.facts.histogram import Histogram
from forestay.core.facts.source import Source
from forestay.core.ports.bus import (
    Bus,
    BusFull,
    BusLost,
    Cause,
    Outcome,
    OutcomeUnknown,
    Page,
    Query,
    Settled,
    Settlement,
    Unavailable,
)
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.tracer import Leg, Tracer
from forestay.core.rooms.user_budgets import UserBudgets
from forestay.core.rules.budgets import NO_LIMITS, UserAmounts
from forestay.core.rules.policies import Policies, Policy, Retention
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.delivered_size import MOST_ADDED, largest_form
from forestay.protocol.message import Message, Position, timestamp
from forestay.protocol.names import RoomName


class Publisher:
    """The only part that publishes room messages."""

    def __init__(
        self, runtime: Runtime, bus: Bus, policies: Policies, largest: int, amounts: UserAmounts = NO_LIMITS
    ) -> None:
        """`largest`: bytes of the largest message that a client gets. `amounts`: what users may leave on the bus."""
        self._budgets = UserBudgets(runtime.loop, amounts)
        self._runtime = runtime
        self._traffic = runtime.traffic
        self._tracer = runtime.tracer
        self._sampler = None if runtime.tracer is None else runtime.tracer.sampler
        self._policies = policies
        self._bus = bus
        self._largest = largest
        self._surely_fits = largest - MOST_ADDED

    def stamp(self) -> str:
        """The `timestamp` of a message that this pod accepts now."""
        return timestamp(int(self._runtime.clock() * 1000))

    def publish(self, message: Message, source: Source, settled: Settled | None, key: str | None = None) -> None:
        """Give `message` to the bus. `settled` gets the outcome. `key` makes a repeat safe. Raises Refusal."""
        policy = self._policies.of(message.room)
        # Binary messages are never kept.
        kept = None if message.binary else policy.history
        if key is not None and kept is None:
            raise Refusal(ErrorCode.KEY_NEEDS_HISTORY, "'key' needs a room with history; this room has none")
        if len(message.payload) > self._surely_fits:
            self._check_size(message, kept=kept is not None, traced=policy.trace)
        create = True
        if kept is not None and message.sender is not None:
            settled, create = self._budgets.begin(message.sender, key, settled)
        leg = None
        if self._tracer is not None and self._sampler is not None:
            new = self._sampler.kept()
            if new or message.trace is not None or policy.trace:
                message, leg = _traced(self._tracer, message, source, policy, kept=new)
        traffic, now, clock = self._traffic, self._runtime.perf, self._runtime.clock
        since = source.since

        def observed(settlement: Settlement) -> None:
            seconds, histogram = now() - since, self._histogram(settlement.outcome)
            histogram.observe(seconds)
            if traffic.exemplars:
                histogram.illustrate(seconds, message.trace, clock())
            if leg is not None:
                leg.end(settlement.outcome)
            if settled is not None:
                settled(settlement)

        self._bus.publish(message, observed, kept=kept, key=key, create=create)

    def _histogram(self, outcome: Outcome) -> Histogram:
        """Where the time of a publish is counted."""
        if outcome is Outcome.ACCEPTED:
            return self._traffic.accepted
        return self._traffic.refused if outcome is Outcome.REFUSED else self._traffic.unknown

    def _check_size(self, message: Message, *, kept: bool, traced: bool) -> None:
        excess = largest_form(message, kept=kept, traced=traced) - self._largest
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
        settlement: Future[Settlement] = self._runtime.loop.create_future()

        def settled(result: Settlement) -> None:
            if not settlement.done():
                settlement.set_result(result)

        self.publish(message, source, settled, key)
        return settlement

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        """Read the history of a room. Raises Refusal."""
        try:
            return await self._bus.history(room, query, kept)
        except BusLost as lost:
            raise Unavailable(full=isinstance(lost, BusFull)) from None


def _traced(
    tracer: Tracer, message: Message, source: Source, policy: Policy, *, kept: bool
) -> tuple[Message, Leg | None]:
    """`message` with its trace context, and its way over the bus, where it is traced. `kept`: see Tracer.begin."""
    leg = tracer.begin(message, source, policy, kept=kept)
    trace = None if leg is None else leg.trace
    return message if trace is message.trace else replace(message, trace=trace), leg


def refusal_of(settlement: Settlement) -> Refusal | None:
    """The refusal that the sender gets; None where the bus has the message."""
    match settlement.outcome:
        case Outcome.ACCEPTED:
            return None
        case Outcome.REFUSED if settlement.cause is Cause.NEW_ROOM:
            message = (
                "you have made too many new rooms with history in the last hour; rooms that exist still take messages"
            )
            return Refusal(ErrorCode.RATE_LIMITED, message, retry_after=settlement.retry_after)
        case Outcome.REFUSED if settlement.cause is Cause.KEY_REUSED:
            message = (
                "another message was published with this key in the last five minutes; give each message its own key"
            )
            return Refusal(ErrorCode.KEY_REUSED, message)
        case Outcome.REFUSED:
            return Unavailable(full=settlement.cause is Cause.FULL)
        case Outcome.UNKNOWN:
            return OutcomeUnknown()
