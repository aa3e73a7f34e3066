"""Makes spans of what happens: one trace from the caller through the bus to the sockets of every pod.

A message's spans are made when its outcome is known and when it has been written, with the times that these things
had. What is not kept costs a random number and never reaches the SDK. Names of rooms and users stay out unless they are
asked for.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from opentelemetry.trace import Link, SpanKind

from app.core.observer import Arrival, Observer, Source
from app.core.ports import Outcome
from app.ops import conventions as words
from app.ops.sampling import Manner
from app.ops.tracing_incidents import Incidents
from app.ops.tracing_spans import Attributes, Place, Spans, new_place, new_span_id, place_below, remote
from app.protocol.codes import ErrorCode
from app.protocol.message import Message
from app.protocol.names import shown
from app.protocol.trace import TraceContext

# More messages on their way to the bus than it may have: then one was never settled, and its spans are given up.
_MOST_OPEN: Final = 10_000


class _Begun(NamedTuple):
    """A message on its way onto the bus."""

    source: Source
    pattern: str
    process: Place
    publish: Place
    came: int
    offered: int
    """Unix nanoseconds, both."""


class Tracing:
    """An Observer that makes spans, and tells every fact to the next one."""

    def __init__(self, told: Observer, spans: Spans, manner: Manner, clock: Callable[[], float]) -> None:
        """`clock`: the loop's, in which the core gives its times."""
        self._told = told
        self._spans = spans
        self._manner = manner
        self._sampling = manner.sampling
        self._clock = clock
        self._begun: dict[str, _Begun] = {}
        self.incidents = Incidents(spans, manner.sampling)
        # Facts that make no span go straight on.
        self.connected = told.connected
        self.received = told.received
        self.delivered = told.delivered
        self.flushed = told.flushed
        self.refused = told.refused
        self.slow = told.slow
        self.ended = told.ended
        self.relocated = told.relocated

    def handshake(self, outcome: str, since: float, trace: TraceContext | None) -> None:
        self._told.handshake(outcome, since, trace)
        place = self._place(trace, trusted=False)
        if place is None:
            return
        status = 101 if outcome in ("ok", "lost") else int(outcome)
        attributes: Attributes = {
            words.HTTP_METHOD: "GET",
            words.HTTP_ROUTE: "/ws",
            words.URL_PATH: "/ws",
            words.URL_SCHEME: "http",
            words.PROTOCOL_NAME: "http",
            words.PROTOCOL_VERSION: "1.1",
            words.HTTP_STATUS: status,
        }
        if status >= 500 or outcome == "lost":
            attributes[words.ERROR_TYPE] = outcome
        self._spans.end(words.HANDSHAKE, SpanKind.SERVER, place, self._unix(since), attributes)

    def publishing(self, message: Message, source: Source, pattern: str, *, traced: bool) -> TraceContext | None:
        caller, trusted = message.trace, source.connection is None
        place = self._place(caller, trusted=trusted)
        if place is None:
            # Nobody else needs to know of a trace that is not kept, but for receivers that are shown it.
            return self._unkept(caller, trusted=trusted) if traced else None
        publish = place.below()
        traceparent = f"00-{publish.itself.trace_id:032x}-{publish.itself.span_id:016x}-01"
        if len(self._begun) >= _MOST_OPEN:
            self._begun.clear()
        self._begun[traceparent] = _Begun(source, pattern, place, publish, self._unix(source.since), time.time_ns())
        return TraceContext(traceparent, caller.tracestate if caller and place.parent else None)

    def published(self, message: Message, outcome: Outcome, seconds: float) -> None:
        self._told.published(message, outcome, seconds)
        if message.trace is None or not self._begun:
            return
        begun = self._begun.pop(message.trace.traceparent, None)
        if begun is not None:
            self._end(message, begun, None if outcome is Outcome.ACCEPTED else outcome.name.lower())

    def rejected(self, code: ErrorCode, source: Source, pattern: str | None, trace: TraceContext | None) -> None:
        self._told.rejected(code, source, pattern, trace)
        place = self._place(trace, trusted=source.connection is None)
        if place is not None:
            attributes = _arrived(source, pattern) | {words.ERROR_TYPE: code}
            name = words.PROCESS if pattern is None else f"{words.PROCESS} {pattern}"
            self._spans.end(name, SpanKind.CONSUMER, place, self._unix(source.since), attributes)

    def written(self, arrivals: Sequence[Arrival], pattern: str, dropped: int, started: float, unix: float) -> None:
        self._told.written(arrivals, pattern, dropped, started, unix)
        for message, recipients, came in arrivals:
            if message.trace is not None and message.trace.sampled:
                attributes: Attributes = {
                    words.SYSTEM: self._manner.system,
                    words.OPERATION: words.PROCESS,
                    words.OPERATION_TYPE: "process",
                    words.TEMPLATE: pattern,
                    words.RECIPIENTS: recipients,
                    words.DROPPED: dropped,
                }
                self._name(message, attributes)
                # Parent and link both: one message is one trace, and the convention's own way of saying it is the link.
                place = place_below(message.trace, linked=True)
                self._spans.end(f"{words.PROCESS} {pattern}", SpanKind.CONSUMER, place, self._unix(came), attributes)

    def bus(self, event: str) -> None:
        self._told.bus(event)
        self.incidents.bus(event)

    def gap_filled(self, messages: int) -> None:
        self._told.gap_filled(messages)
        self.incidents.gap_filled(messages)

    def resynced(self, reason: str, recipients: int) -> None:
        self._told.resynced(reason, recipients)
        self.incidents.resynced(reason, recipients)

    def _end(self, message: Message, begun: _Begun, error: str | None) -> None:
        """The way in and the way to the bus are over."""
        source, pattern, process, publish, came, offered = begun
        inward = _arrived(source, pattern)
        onward: Attributes = {
            words.SYSTEM: self._manner.system,
            words.OPERATION: words.PUBLISH,
            words.OPERATION_TYPE: "send",
            words.TEMPLATE: pattern,
        }
        for attributes in (inward, onward):
            self._name(message, attributes)
            if error is not None:
                attributes[words.ERROR_TYPE] = error
        self._spans.end(f"{words.PUBLISH} {pattern}", SpanKind.PRODUCER, publish, offered, onward)
        self._spans.end(f"{words.PROCESS} {pattern}", SpanKind.CONSUMER, process, came, inward)

    def _place(self, caller: TraceContext | None, *, trusted: bool) -> Place | None:
        """Where a span for `caller` stands; None where the trace is not kept."""
        if caller is not None:
            if self._goes_on(trusted=trusted):
                return place_below(caller) if self._sampling.keeps(caller) else None
            if not self._manner.heeds_callers:
                caller = None
        if not self._sampling.new_kept():
            return None
        # A stranger's state is for the stranger's own vendor: the ids are enough to find the trace.
        links = () if caller is None else (Link(remote(TraceContext(caller.traceparent))),)
        return new_place(self._sampling.new_id(kept=True), links)

    def _unkept(self, caller: TraceContext | None, *, trusted: bool) -> TraceContext:
        """The context of a publish that leaves no trace: the caller's trace or a new one, with its flag 00."""
        if caller is not None and self._goes_on(trusted=trusted):
            trace, state = caller.trace_id, caller.tracestate
        else:
            trace, state = f"{self._sampling.new_id(kept=False):032x}", None
        return TraceContext(f"00-{trace}-{new_span_id():016x}-00", state)

    def _goes_on(self, *, trusted: bool) -> bool:
        """Whether a caller's own trace goes on through us."""
        manner = self._manner
        return manner.heeds_callers and (trusted or manner.continue_clients)

    def _unix(self, since: float) -> int:
        """A time of the loop in Unix nanoseconds."""
        return time.time_ns() - max(0, int((self._clock() - since) * 1e9))

    def _name(self, message: Message, attributes: Attributes) -> None:
        if self._manner.names:
            attributes[words.DESTINATION] = shown(message.room)
            if message.sender is not None:
                attributes[words.USER] = message.sender


def _arrived(source: Source, pattern: str | None) -> Attributes:
    attributes: Attributes = {
        words.SYSTEM: "http" if source.connection is None else "websocket",
        words.OPERATION: words.PROCESS,
        words.OPERATION_TYPE: "process",
    }
    if source.connection is not None:
        attributes[words.CLIENT_ID] = source.connection
    if pattern is not None:
        attributes[words.TEMPLATE] = pattern
    return attributes
