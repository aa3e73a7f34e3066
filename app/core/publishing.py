"""The way onto the bus, for clients and backends alike: stamped here, counted here, and never delivered directly."""

from asyncio import Future

from app.core.ports import Bus, Outcome, OutcomeUnknown, Settled, Unavailable, World
from app.protocol.codes import Refusal
from app.protocol.message import Message, timestamp


class Publisher:
    def __init__(self, world: World, bus: Bus) -> None:
        self._world = world
        self._bus = bus

    def stamp(self) -> str:
        """Now, as the `timestamp` of a message that this pod accepts."""
        return timestamp(int(self._world.clock() * 1000))

    def publish(self, message: Message, settled: Settled | None) -> None:
        """Give `message` to the bus; `settled` learns what became of it."""
        observer = self._world.observer
        if observer is None:
            self._bus.publish(message, settled)
            return

        def observed(outcome: Outcome) -> None:
            observer.published(message, outcome)
            if settled is not None:
                settled(outcome)

        self._bus.publish(message, observed)

    async def accepted(self, message: Message) -> None:
        """Give `message` to the bus and wait until it has it. Raises Refusal."""
        outcome: Future[Outcome] = self._world.loop.create_future()

        def settled(result: Outcome) -> None:
            if not outcome.done():
                outcome.set_result(result)

        self.publish(message, settled)
        refusal = refusal_of(await outcome)
        if refusal is not None:
            raise refusal


def refusal_of(outcome: Outcome) -> Refusal | None:
    """What to tell a sender; None where the bus has the message."""
    match outcome:
        case Outcome.ACCEPTED:
            return None
        case Outcome.REFUSED:
            return Unavailable()
        case Outcome.UNKNOWN:
            return OutcomeUnknown()
