"""Makes finished spans and hands them to the SDK's processors.

The SDK's tracer opens a span, asks the sampler about it and keeps it until it is closed. Here both times and the
sampling decision are known when a span is made, and the tracer would take several times as long (`bench/tracing`).
Everything behind that is the SDK's: resources, limits, batches, exporters.
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

from forestay.ops.tracing import conventions as semconv
from forestay.protocol.trace import TraceContext

Attributes = dict[str, AttributeValue]

_KEPT: Final = TraceFlags(TraceFlags.SAMPLED)
_OK, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
# No span here has more attributes, so a higher limit has no effect.
_MAX_ATTRIBUTES: Final = 16


class Place(NamedTuple):
    """The position of a span in a kept trace: its own ids, its parent and its links."""

    context: SpanContext
    parent: SpanContext | None = None
    links: Sequence[Link] = ()

    def child(self, span_id: int) -> "Place":
        """The place of a child span with the id `span_id`."""
        parent = self.context
        return Place(_local(parent.trace_id, span_id, parent.trace_state), parent)


class Spans:
    def __init__(self, processors: Sequence[SpanProcessor], resource: Resource, version: str) -> None:
        self._processors = processors
        self._resource = resource
        self._scope = InstrumentationScope(semconv.SCOPE, version, semconv.SCHEMA_URL)
        limits = SpanLimits()
        max_count, max_length = limits.max_span_attributes, limits.max_span_attribute_length
        self._limits = limits if max_length is not None or (max_count or 0) < _MAX_ATTRIBUTES else None

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
        """Makes a finished span. `times`: Unix nanoseconds. An attribute `error.type` marks it as failed."""
        failed = semconv.ERROR_TYPE in attributes
        span = ReadableSpan(
            name,
            place.context,
            place.parent,
            self._resource,
            attributes if self._limits is None else self._limited(attributes, self._limits),
            events,
            place.links,
            kind,
            status=_FAILED if failed else _OK,
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
    """The caller's span, where the trace is the caller's."""
    link: TraceContext | None = None
    """The span of a caller whose trace is not continued."""

    def place(self) -> Place:
        """The place of our first span."""
        if self.parent is not None:
            return place_below(self.parent)
        links = () if self.link is None else (Link(_remote(self.link)),)
        return Place(_local(self.trace_id, new_span_id()), None, links)


def place_below(parent: TraceContext, *, linked: bool = False) -> Place:
    """The place of a child of a remote span. `linked`: add a link to the parent as well."""
    above = _remote(parent)
    return Place(_local(above.trace_id, new_span_id(), above.trace_state), above, (Link(above),) if linked else ())


def _remote(trace: TraceContext) -> SpanContext:
    """The context of a remote span."""
    text = trace.traceparent
    state = TraceState.from_header([trace.tracestate]) if trace.tracestate else None
    flags = _KEPT if trace.sampled else None
    trace_id, span_id = int(text[3:35], 16), int(text[36:52], 16)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags, trace_state=state)


def _local(trace_id: int, span_id: int, state: TraceState | None = None) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=_KEPT, trace_state=state)


def new_span_id() -> int:
    return random.getrandbits(64) or 1
