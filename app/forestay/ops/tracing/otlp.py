"""Spans on the wire: the SDK's exporter, with an encoder that remembers what it has encoded before.

A pod's spans have few shapes, of a name and attributes, and differ in ids and times. The SDK's encoder is asked once
for each shape: to ask it for each span is much of what a kept trace costs (`bench/tracing`).
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, Status
from opentelemetry.util.types import AttributeValue

from forestay.ops.tracing import conventions as words

_MOST_SHAPES: Final = 1024
_HAS_REMOTE: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _HAS_REMOTE | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_NOWHERE: Final = SpanContext(1, 1, is_remote=False)


class OtlpExporter(OTLPSpanExporter):
    """OTLP over HTTP, for spans of one resource and one scope."""

    _frame = b""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        client = getattr(self, "_client", None)
        if client is None or self._shutdown:
            # Another version of the SDK, or one that refuses: it knows what to do.
            return super().export(spans)
        self._frame = self._frame or around(spans[0])
        sent = client.export(encode(self._frame, spans))
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def around(span: ReadableSpan) -> bytes:
    """A request with the resource and the scope of `span`, and no spans."""
    request = encode_spans([span])
    request.resource_spans[0].scope_spans[0].ClearField("spans")
    body: bytes = request.SerializeToString()
    return body


def encode(frame: bytes, spans: Iterable[ReadableSpan]) -> bytes:
    """The body of a request to a collector. `frame`: what `around` makes of any of them."""
    request = ExportTraceServiceRequest.FromString(frame)
    encoded = request.resource_spans[0].scope_spans[0].spans
    for span in spans:
        if span.events:
            encoded.append(_alone(span))
        else:
            _write(encoded.add(), span)
    body: bytes = request.SerializeToString()
    return body


def _write(encoded: Span, span: ReadableSpan) -> None:
    attributes = span.attributes or {}
    shape = [(key, value) for key, value in attributes.items() if key not in words.OF_MANY_VALUES]
    encoded.MergeFromString(_shape(span.name, span.kind, span.status, tuple(shape)))
    if len(shape) < len(attributes):
        for key in words.OF_MANY_VALUES & attributes.keys():
            encoded.attributes.add(key=key).value.string_value = str(attributes[key])
    itself, parent = span.get_span_context() or _NOWHERE, span.parent
    encoded.trace_id = itself.trace_id.to_bytes(16)
    encoded.span_id = itself.span_id.to_bytes(8)
    encoded.trace_state = itself.trace_state.to_header()
    encoded.start_time_unix_nano = span.start_time or 0
    encoded.end_time_unix_nano = span.end_time or 0
    encoded.flags = _flags(parent)
    if parent is not None:
        encoded.parent_span_id = parent.span_id.to_bytes(8)
    for link in span.links:
        to = link.context
        encoded.links.add(trace_id=to.trace_id.to_bytes(16), span_id=to.span_id.to_bytes(8), flags=_flags(to))


def _flags(parent: SpanContext | None) -> int:
    return _REMOTE if parent is not None and parent.is_remote else _HAS_REMOTE


@lru_cache(_MOST_SHAPES)
def _shape(name: str, kind: SpanKind, status: Status, attributes: tuple[tuple[str, AttributeValue], ...]) -> bytes:
    """What all spans that are alike have in common."""
    span = _alone(ReadableSpan(name, _NOWHERE, kind=kind, status=status, attributes=dict(attributes)))
    for own in ("trace_id", "span_id", "flags"):
        span.ClearField(own)
    encoded: bytes = span.SerializeToString()
    return encoded


def _alone(span: ReadableSpan) -> Span:
    encoded: Span = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]
    return encoded
