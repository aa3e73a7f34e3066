"""The Tracer port: decides which trace a message belongs to and whether it is kept, and follows those that are.

Most messages have no context and are not kept. They cost one call of a Sampler, and do not reach the Tracer.
"""

from typing import Protocol

from forestay.core.facts.sampler import Sampler
from forestay.core.facts.source import Source
from forestay.core.facts.traffic import Arrival
from forestay.core.ports.bus import Outcome
from forestay.core.rules.policies import Policy
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

    @property
    def sampler(self) -> Sampler:
        """Decides which new traces are kept."""

    def begin(self, message: Message, source: Source, policy: Policy, *, kept: bool) -> Leg | None:
        """A message is about to be given to the bus. Returns None where no context travels with it.

        It need not be told of a message without a context, in a room whose receivers see none, that is not `kept`.
        `message.trace` is the context that the caller sent. `policy`: of the room. `kept`: what the Sampler decided,
        for the case that the message begins a new trace.
        """

    def reached(self, arrival: Arrival, pattern: str, dropped: int) -> None:
        """A message with a context was written to the members on this pod, except for `dropped` slow ones."""
