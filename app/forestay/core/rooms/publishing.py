"""Publishes messages on the bus, and reads the history of rooms.

Messages of clients and of backends take the same way. A message is never delivered directly, also not to members on
this pod.
"""

from asyncio import Future

from msgspec.structs import replace

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
from forestay.core.ports.observer import Source
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.policies import Policies, Retention
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.delivered import MOST_ADDED, largest_form
from forestay.protocol.message import Message, Position, timestamp
from forestay.protocol.names import RoomName


class Publisher:
    """The only part that publishes room messages."""

    def __init__(self, runtime: Runtime, bus: Bus, policies: Policies, largest: int) -> None:
        """`largest`: bytes of the largest message that a client gets."""
        self._runtime = runtime
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
        observer, tracer, leg = self._runtime.observer, self._runtime.tracer, None
        if tracer is not None:
            leg = tracer.begin(message, source, policy.pattern, shown=policy.trace)
            trace = None if leg is None else leg.trace
            if trace is not message.trace:
                message = replace(message, trace=trace)
        if observer is None and leg is None:
            self._bus.publish(message, settled, kept=kept, key=key)
            return
        now = self._runtime.loop.time
        offered = now()

        def observed(settlement: Settlement) -> None:
            if observer is not None:
                observer.published(message, settlement.outcome, now() - offered)
            if leg is not None:
                leg.end(settlement.outcome)
            if settled is not None:
                settled(settlement)

        self._bus.publish(message, observed, kept=kept, key=key)

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
        settlement: Future[Settlement] = self._runtime.loop.create_future()

        def settled(result: Settlement) -> None:
            if not settlement.done():
                settlement.set_result(result)

        self.publish(message, source, settled, key)
        result = await settlement
        refusal = refusal_of(result)
        if refusal is not None:
            raise refusal
        return result.position

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        """Read the history of a room. Raises Refusal."""
        try:
            return await self._bus.history(room, query, kept)
        except BusLost as lost:
            raise Unavailable(full=isinstance(lost, BusFull)) from None


def refusal_of(settlement: Settlement) -> Refusal | None:
    """The refusal that the sender gets; None where the bus has the message."""
    match settlement.outcome:
        case Outcome.ACCEPTED:
            return None
        case Outcome.REFUSED:
            return Unavailable(full=settlement.cause is Cause.FULL)
        case Outcome.UNKNOWN:
            return OutcomeUnknown()
