"""The Tracer port: who decides which trace a message belongs to and whether it is kept, and follows those that are.

Most messages leave no trace, and cost one question.
"""

from typing import Protocol

from forestay.core.ports.bus import Outcome
from forestay.core.ports.observer import Arrival, Source
from forestay.protocol.message import Message
from forestay.protocol.trace import TraceContext


class Leg(Protocol):
    """A message's way to the bus."""

    @property
    def trace(self) -> TraceContext:
        """The context that travels with the message from here on."""

    def end(self, outcome: Outcome) -> None:
        """It is over, one way or another."""


class Tracer(Protocol):
    """Called from the event loop; must not block and must not raise."""

    def begin(self, message: Message, source: Source, pattern: str, *, shown: bool) -> Leg | None:
        """A message is about to be given to the bus. None: no context travels with it.

        `message.trace` is still the caller's. `pattern`: the one that its room's name matched. `shown`: receivers see
        the context.
        """

    def reached(self, arrival: Arrival, pattern: str, dropped: int) -> None:
        """A message that has a context was written to those of its room on this pod, but for `dropped` slow ones."""
