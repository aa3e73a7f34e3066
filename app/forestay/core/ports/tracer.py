"""The Tracer port: decides which trace a message belongs to and whether it is kept, and follows those that are.

Most messages are not kept, and cost one call.
"""

from typing import Protocol

from forestay.core.ports.bus import Outcome
from forestay.core.ports.observer import Arrival, Source
from forestay.protocol.message import Message
from forestay.protocol.trace import TraceContext


class Leg(Protocol):
    """The way of one message to the bus."""

    @property
    def trace(self) -> TraceContext:
        """The context that travels with the message from here on."""

    def end(self, outcome: Outcome) -> None:
        """The bus has settled the message."""


class Tracer(Protocol):
    """Called from the event loop. Nothing here blocks or raises."""

    def begin(self, message: Message, source: Source, pattern: str, *, shown: bool) -> Leg | None:
        """A message is about to be given to the bus. Returns None where no context travels with it.

        `message.trace` is the context that the caller sent. `pattern`: the pattern that the room's name matched.
        `shown`: the receivers see the context.
        """

    def reached(self, arrival: Arrival, pattern: str, dropped: int) -> None:
        """A message with a context was written to the members on this pod, except for `dropped` slow ones."""
