"""Makes the SDK's objects of our spans, for exporters that take nothing else. An exporter's thread does it."""

from collections.abc import Sequence
from typing import Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from forestay import __version__
from forestay.ops.tracing import conventions as semconv
from forestay.ops.tracing.spans import Kind, Place, Span, ids
from forestay.protocol.trace import TraceContext

_KEPT: Final = TraceFlags(TraceFlags.SAMPLED)
_OK, _FAILED = Status(StatusCode.UNSET), Status(StatusCode.ERROR)
_KINDS: Final = {kind: SpanKind[kind.name] for kind in Kind}
# No span here has more attributes, so a higher limit has no effect.
_MAX_ATTRIBUTES: Final = 16


class Readable:
    """Makes a ReadableSpan of a span: with the resource of this process, our scope, and the limits of the SDK."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._scope = InstrumentationScope(semconv.SCOPE, __version__, semconv.SCHEMA_URL)
        limits = SpanLimits()
        self._count, self._length = limits.max_span_attributes, limits.max_span_attribute_length
        self.limited = self._length is not None or (self._count or 0) < _MAX_ATTRIBUTES
        """Whether the OTEL_* variables limit the attributes of spans to fewer or shorter ones than ours."""

    def __call__(self, span: Span) -> ReadableSpan:
        shape, place, attributes = span.shape, span.place, {**span.shape.attributes, **span.texts}
        return ReadableSpan(
            shape.name,
            _local(place, place.span_id),
            _parent(place),
            self._resource,
            BoundedAttributes(self._count, attributes, max_value_len=self._length) if self.limited else attributes,
            [Event(*event) for event in span.events],
            () if place.link is None else (Link(_remote(place.link)),),
            _KINDS[shape.kind],
            status=_FAILED if shape.failed else _OK,
            start_time=span.started,
            end_time=span.ended,
            instrumentation_scope=self._scope,
        )


class ReadableExporter(SpanExporter):
    """Hands spans to another exporter as the SDK's objects."""

    def __init__(self, exporter: SpanExporter, readable: Readable) -> None:
        self._exporter = exporter
        self._readable = readable

    def export(self, spans: Sequence[Span]) -> SpanExportResult:  # type: ignore[override]
        return self._exporter.export([self._readable(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def trace_state(header: str | None) -> TraceState:
    """What a header says, or nothing where it is malformed."""
    return TraceState.from_header([header] if header else [])


def _parent(place: Place) -> SpanContext | None:
    if not place.parent_id:
        return None
    if place.parent is not None:
        return _context(place.trace_id, place.parent_id, _KEPT, place.state, remote=True)
    return _local(place, place.parent_id)


def _local(place: Place, span_id: int) -> SpanContext:
    return _context(place.trace_id, span_id, _KEPT, place.state)


def _remote(trace: TraceContext) -> SpanContext:
    return _context(*ids(trace), _KEPT if trace.sampled else None, trace.tracestate, remote=True)


def _context(
    trace_id: int, span_id: int, flags: TraceFlags | None, state: str | None, *, remote: bool = False
) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=remote, trace_flags=flags, trace_state=trace_state(state))
