"""Makes spans of what happens: one trace from the caller through the bus to the sockets of every pod.

A message's spans are made when it is given to the bus and when it has been written, with the times that these things
had. What is not kept costs a random number and never reaches the SDK; no span stays open for longer than a message is
on its way. Names of rooms and users stay out unless they are asked for.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from app.core.ports import Arrival, Observer, Outcome, Source
from app.ops import conventions as words
from app.ops.sampling import Manner
from app.ops.tracing_ids import Ids
from app.ops.tracing_incidents import Incidents
from app.protocol.codes import ErrorCode
from app.protocol.message import Message
from app.protocol.names import shown
from app.protocol.trace import TraceContext

Attributes = dict[str, AttributeValue]

# Every span says what it belongs to: what the SDK finds around it is never meant.
_NOWHERE: Final = Context()
_FLAGS: Final = TraceFlags(TraceFlags.SAMPLED)
# More messages on their way to the bus than it may have: then one was never settled, and its spans are given up.
_MOST_OPEN: Final = 10_000


class _Begun(NamedTuple):
    process: Span
    publish: Span


class _Ancestry(NamedTuple):
    """Where a new span belongs."""

    context: Context
    links: tuple[Link, ...] = ()
    tracestate: str | None = None
    """Of a trace that goes on."""


class Tracing:
    """An Observer that makes spans, and tells every fact to the next one."""

    def __init__(
        self, told: Observer, provider: TracerProvider, ids: Ids, manner: Manner, clock: Callable[[], float]
    ) -> None:
        """`clock`: the loop's, in which the core gives its times."""
        self._told = told
        self._manner = manner
        self._ids = ids
        self._clock = clock
        self._tracer = provider.get_tracer(words.SCOPE, schema_url=words.SCHEMA_URL)
        self._begun: dict[str, _Begun] = {}
        self.incidents = Incidents(self._episode)
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
        ancestry = self._ancestry(trace, trusted=False)
        if ancestry is None:
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
        span = self._start(words.HANDSHAKE, SpanKind.SERVER, ancestry, attributes, since)
        if status >= 500 or outcome == "lost":
            _fail(span, outcome)
        span.end()

    def publishing(self, message: Message, source: Source, pattern: str, *, traced: bool) -> TraceContext | None:
        caller, trusted = message.trace, source.connection is None
        ancestry = self._ancestry(caller, trusted=trusted)
        if ancestry is None:
            # Nobody else needs to know of a trace that is not kept, but for receivers that are shown it.
            return self._unkept(caller, trusted=trusted) if traced else None
        attributes = self._attributes(message, pattern, _system(source), words.PROCESS, "process")
        if source.connection is not None:
            attributes[words.CLIENT_ID] = source.connection
        process = self._start(f"{words.PROCESS} {pattern}", SpanKind.CONSUMER, ancestry, attributes, source.since)
        inside = _Ancestry(set_span_in_context(process, _NOWHERE))
        attributes = self._attributes(message, pattern, self._manner.system, words.PUBLISH, "send")
        publish = self._start(f"{words.PUBLISH} {pattern}", SpanKind.PRODUCER, inside, attributes)
        context = publish.get_span_context()
        traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        if len(self._begun) >= _MOST_OPEN:
            self._begun.clear()
        self._begun[traceparent] = _Begun(process, publish)
        return TraceContext(traceparent, ancestry.tracestate)

    def published(self, message: Message, outcome: Outcome, seconds: float) -> None:
        self._told.published(message, outcome, seconds)
        begun = self._begun.pop(message.trace.traceparent, None) if message.trace else None
        if begun is None:
            return
        for span in (begun.publish, begun.process):
            if outcome is not Outcome.ACCEPTED:
                _fail(span, outcome.name.lower())
            span.end()

    def rejected(self, code: ErrorCode, source: Source, pattern: str | None, trace: TraceContext | None) -> None:
        self._told.rejected(code, source, pattern, trace)
        ancestry = self._ancestry(trace, trusted=source.connection is None)
        if ancestry is None:
            return
        attributes: Attributes = {
            words.SYSTEM: _system(source),
            words.OPERATION: words.PROCESS,
            words.OPERATION_TYPE: "process",
        }
        if source.connection is not None:
            attributes[words.CLIENT_ID] = source.connection
        if pattern is not None:
            attributes[words.TEMPLATE] = pattern
        name = words.PROCESS if pattern is None else f"{words.PROCESS} {pattern}"
        span = self._start(name, SpanKind.CONSUMER, ancestry, attributes, source.since)
        _fail(span, code)
        span.end()

    def written(self, arrivals: Sequence[Arrival], pattern: str, dropped: int, started: float, unix: float) -> None:
        self._told.written(arrivals, pattern, dropped, started, unix)
        for message, recipients, came in arrivals:
            if message.trace is not None and message.trace.sampled:
                self._delivered(message, message.trace, pattern, (recipients, dropped), came)

    def gap_filled(self, messages: int) -> None:
        self._told.gap_filled(messages)
        self.incidents.gap_filled(messages)

    def resynced(self, reason: str, recipients: int) -> None:
        self._told.resynced(reason, recipients)
        self.incidents.resynced(reason, recipients)

    def bus(self, event: str) -> None:
        self._told.bus(event)
        self.incidents.bus(event)

    def _delivered(
        self, message: Message, trace: TraceContext, pattern: str, fanout: tuple[int, int], since: float
    ) -> None:
        published = _remote(trace)
        # Parent and link both: one message is one trace, and the convention's own way of saying it is the link.
        ancestry = _Ancestry(_within(published), (Link(published),))
        attributes = self._attributes(message, pattern, self._manner.system, words.PROCESS, "process")
        attributes[words.RECIPIENTS], attributes[words.DROPPED] = fanout
        self._start(f"{words.PROCESS} {pattern}", SpanKind.CONSUMER, ancestry, attributes, since).end()

    def _episode(self, name: str) -> Span | None:
        """A span of its own for something that befell the pod, if it is kept."""
        ancestry = self._ancestry(None, trusted=False)
        return None if ancestry is None else self._start(name, SpanKind.INTERNAL, ancestry, {})

    def _ancestry(self, caller: TraceContext | None, *, trusted: bool) -> _Ancestry | None:
        """Where a span for `caller` belongs; None where the trace is not kept."""
        sampling = self._manner.sampling
        if caller is not None and not self._manner.heeds_callers:
            caller = None
        if caller is not None and (trusted or self._manner.continue_clients):
            if not sampling.keeps(caller):
                return None
            return _Ancestry(_within(_remote(caller)), tracestate=caller.tracestate)
        if not sampling.new_kept():
            return None
        self._ids.next_trace = sampling.new_id(kept=True)
        # A stranger's state is for the stranger's own vendor: the ids are enough to find the trace.
        return _Ancestry(_NOWHERE, () if caller is None else (Link(_remote(TraceContext(caller.traceparent))),))

    def _unkept(self, caller: TraceContext | None, *, trusted: bool) -> TraceContext:
        """The context of a publish that leaves no trace: the caller's trace or a new one, with its flag 00."""
        manner = self._manner
        if caller is not None and manner.heeds_callers and (trusted or manner.continue_clients):
            trace, state = caller.trace_id, caller.tracestate
        else:
            trace, state = f"{manner.sampling.new_id(kept=False):032x}", None
        return TraceContext(f"00-{trace}-{self._ids.generate_span_id():016x}-00", state)

    def _start(
        self, name: str, kind: SpanKind, ancestry: _Ancestry, attributes: Attributes, since: float | None = None
    ) -> Span:
        """A span that began at `since`, or now."""
        now = time.time_ns()
        began = now if since is None else now - max(0, int((self._clock() - since) * 1e9))
        return self._tracer.start_span(name, ancestry.context, kind, attributes, ancestry.links, began)

    def _attributes(self, message: Message, pattern: str, system: str, operation: str, kind: str) -> Attributes:
        attributes: Attributes = {
            words.SYSTEM: system,
            words.OPERATION: operation,
            words.OPERATION_TYPE: kind,
            words.TEMPLATE: pattern,
        }
        if self._manner.names:
            attributes[words.DESTINATION] = shown(message.room)
            if message.sender is not None:
                attributes[words.USER] = message.sender
        return attributes


def _system(source: Source) -> str:
    return "http" if source.connection is None else "websocket"


def _remote(trace: TraceContext) -> SpanContext:
    text = trace.traceparent
    state = TraceState.from_header([trace.tracestate]) if trace.tracestate else None
    flags = _FLAGS if trace.sampled else None
    return SpanContext(int(text[3:35], 16), int(text[36:52], 16), is_remote=True, trace_flags=flags, trace_state=state)


def _within(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), _NOWHERE)


def _fail(span: Span, why: str) -> None:
    span.set_attribute(words.ERROR_TYPE, why)
    span.set_status(Status(StatusCode.ERROR))
