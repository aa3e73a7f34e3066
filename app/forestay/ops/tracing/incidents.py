"""Makes short spans with events of what belongs to no message: drains, a lost bus, gaps, resyncs."""

import time
from dataclasses import dataclass, field

from forestay.core.ports.observer import Client, Observer
from forestay.ops.tracing import conventions as semconv
from forestay.ops.tracing.sampling import Sampling
from forestay.ops.tracing.spans import Attributes, Event, Kind, Root, Shape, Span, Spans
from forestay.protocol.names import RoomName


@dataclass(slots=True)
class _Incident:
    name: str
    started: int = field(default_factory=time.time_ns)
    events: list[Event] = field(default_factory=list)

    def add(self, event: str, attributes: Attributes | None = None) -> None:
        self.events.append(Event(event, attributes or {}, time.time_ns()))


class Incidents(Observer):
    def __init__(self, spans: Spans, sampling: Sampling) -> None:
        self._spans = spans
        self._sampling = sampling
        self._drain: _Incident | None = None
        self._outage: _Incident | None = None

    def bus(self, event: str) -> None:
        """Makes one span from the loss of the bus to its return."""
        if event not in ("lost", "deaf", "connected"):
            return
        outage = self._outage = self._outage or _Incident(semconv.BUS)
        outage.add(semconv.BUS_EVENT + event)
        if event == "connected":
            self._outage = None
            self._end(outage)

    def gap_filled(self, room: RoomName, messages: int) -> None:
        self._instant(semconv.RECOVERY, semconv.GAP_FILLED, {semconv.MESSAGES: messages})

    def resynced(self, room: RoomName, reason: str, recipients: int, client: Client | None) -> None:
        self._instant(semconv.RECOVERY, semconv.RESYNC, {semconv.REASON: reason, semconv.RECIPIENTS: recipients})

    def draining(self, connections: int, window: float) -> None:
        """The drain begins: the pod asks `connections` to move within `window` seconds."""
        self._drain = _Incident(semconv.DRAIN)
        self._drain.add(semconv.DRAIN_STARTED, {semconv.CONNECTIONS: connections, semconv.WINDOW: window})

    def drained(self, left: int) -> None:
        """The drain is over, and `left` connections are still open."""
        drain, self._drain = self._drain, None
        if drain is not None:
            drain.add(semconv.DRAIN_ENDED, {semconv.CONNECTIONS: left})
            self._end(drain)

    def close(self) -> None:
        """Ends the span of an outage that is still open, because the pod stops."""
        if self._outage is not None:
            self._end(self._outage)

    def _instant(self, name: str, event: str, attributes: Attributes) -> None:
        incident = _Incident(name)
        incident.add(event, attributes)
        self._end(incident)

    def _end(self, incident: _Incident) -> None:
        if self._sampling.sampler.kept():
            place, ended = Root(self._sampling.new_id(kept=True)).place(), max(incident.started, time.time_ns())
            shape = Shape(incident.name, Kind.INTERNAL, {})
            self._spans.end(Span(shape, place, incident.started, ended, {}, incident.events))
