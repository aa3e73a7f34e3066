"""Whole spans, handed to the SDK's processors: made when they end, with the times that things had.

The SDK's tracer opens a span, asks the sampler about it and keeps it until it is closed. Here both times are known and
the decision is made when a span comes to be, and the tracer would take several times as long as the span is worth
(`bench/tracing`). Everything behind it is the SDK's: resources, limits, batches, exporters.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import AttributeValue

from forestay.ops.tracing import conventions as words
from forestay.protocol.trace import TraceContext

Attributes = dict[str, AttributeValue]

_KEPT: Final = TraceFlags(TraceFlags.SAMPLED)
_SENT, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
# No span here has more attributes; a limit beyond it limits nothing.
_MOST_ATTRIBUTES: Final = 16


class Place(NamedTuple):
    """Where a span of a kept trace stands."""

    itself: SpanContext
    parent: SpanContext | None = None
    links: Sequence[Link] = ()

    def below(self, span_id: int) -> "Place":
        """A place for a child, which is called `span_id`."""
        mine = self.itself
        return Place(_ours(mine.trace_id, span_id, mine.trace_state), mine)


class Spans:
    def __init__(self, processors: Sequence[SpanProcessor], resource: Resource, version: str) -> None:
        self._processors = processors
        self._resource = resource
        self._scope = InstrumentationScope(words.SCOPE, version, words.SCHEMA_URL)
        limits = SpanLimits()
        most, longest = limits.max_span_attributes, limits.max_span_attribute_length
        self._limits = limits if longest is not None or (most or 0) < _MOST_ATTRIBUTES else None

    def end(
        self,
        name: str,
        kind: SpanKind,
        place: Place,
        times: tuple[int, int],
        attributes: Attributes,
        *,
        events: Sequence[Event] = (),
    ) -> None:
        """A span is over. `times`: Unix nanoseconds. With an `error.type` among its attributes it has failed."""
        failed = words.ERROR_TYPE in attributes
        span = ReadableSpan(
            name,
            place.itself,
            place.parent,
            self._resource,
            attributes if self._limits is None else self._limited(attributes, self._limits),
            events,
            place.links,
            kind,
            status=_FAILED if failed else _SENT,
            start_time=times[0],
            end_time=times[1],
            instrumentation_scope=self._scope,
        )
        for processor in self._processors:
            processor.on_end(span)

    def _limited(self, attributes: Attributes, limits: SpanLimits) -> Mapping[str, AttributeValue]:
        return BoundedAttributes(limits.max_span_attributes, attributes, max_value_len=limits.max_span_attribute_length)


class Root(NamedTuple):
    """Where our part of a trace begins."""

    trace_id: int
    parent: TraceContext | None = None
    """The caller's span, where the trace is its."""
    link: TraceContext | None = None
    """The span of a caller whose trace this is not."""

    def place(self) -> Place:
        """A place for our first span."""
        if self.parent is not None:
            return place_below(self.parent)
        links = () if self.link is None else (Link(_remote(self.link)),)
        return Place(_ours(self.trace_id, new_span_id()), None, links)


def place_below(parent: TraceContext, *, linked: bool = False) -> Place:
    """A place for a child of a span that is elsewhere; `linked`: linked to it as well."""
    above = _remote(parent)
    return Place(_ours(above.trace_id, new_span_id(), above.trace_state), above, (Link(above),) if linked else ())


def _remote(trace: TraceContext) -> SpanContext:
    """A span that is elsewhere."""
    text = trace.traceparent
    state = TraceState.from_header([trace.tracestate]) if trace.tracestate else None
    flags = _KEPT if trace.sampled else None
    trace_id, span_id = int(text[3:35], 16), int(text[36:52], 16)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags, trace_state=state)


def _ours(trace_id: int, span_id: int, state: TraceState | None = None) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=_KEPT, trace_state=state)


def new_span_id() -> int:
    return random.getrandbits(64) or 1
