"""What befalls the pod and belongs to no message, as events of short spans: drains, a lost bus, gaps, resyncs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from opentelemetry.sdk.trace import Event
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from forestay.core.ports.observer import Observer
from forestay.ops.tracing import conventions as words
from forestay.ops.tracing.sampling import Sampling
from forestay.ops.tracing.spans import Root, Spans


@dataclass(slots=True)
class _Episode:
    name: str
    began: int = field(default_factory=time.time_ns)
    events: list[Event] = field(default_factory=list)

    def tell(self, event: str, attributes: Mapping[str, AttributeValue] | None = None) -> None:
        self.events.append(Event(event, attributes, time.time_ns()))


class Incidents(Observer):
    def __init__(self, spans: Spans, sampling: Sampling) -> None:
        self._spans = spans
        self._sampling = sampling
        self._drain: _Episode | None = None
        self._outage: _Episode | None = None

    def bus(self, event: str) -> None:
        """One span from the loss to the return."""
        if event not in ("lost", "deaf", "connected"):
            return
        outage = self._outage = self._outage or _Episode(words.BUS)
        outage.tell(words.BUS_EVENT + event)
        if event == "connected":
            self._outage = None
            self._end(outage)

    def gap_filled(self, messages: int) -> None:
        self._at_once(words.RECOVERY, words.GAP_FILLED, {words.MESSAGES: messages})

    def resynced(self, reason: str, recipients: int) -> None:
        self._at_once(words.RECOVERY, words.RESYNC, {words.REASON: reason, words.RECIPIENTS: recipients})

    def draining(self, connections: int, window: float) -> None:
        """The pod asks its connections to move, over so many seconds."""
        self._drain = _Episode(words.DRAIN)
        self._drain.tell(words.DRAIN_STARTED, {words.CONNECTIONS: connections, words.WINDOW: window})

    def drained(self, left: int) -> None:
        """The drain is over; `left` connections had to be cut."""
        drain, self._drain = self._drain, None
        if drain is not None:
            drain.tell(words.DRAIN_ENDED, {words.CONNECTIONS: left})
            self._end(drain)

    def close(self) -> None:
        """End what is still open: the pod goes."""
        if self._outage is not None:
            self._end(self._outage)

    def _at_once(self, name: str, event: str, attributes: Mapping[str, AttributeValue]) -> None:
        episode = _Episode(name)
        episode.tell(event, attributes)
        self._end(episode)

    def _end(self, episode: _Episode) -> None:
        if self._sampling.new_kept():
            place, ended = Root(self._sampling.new_id(kept=True)).place(), max(episode.began, time.time_ns())
            self._spans.end(episode.name, SpanKind.INTERNAL, place, (episode.began, ended), {}, events=episode.events)
