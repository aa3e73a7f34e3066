"""Encodes spans as OTLP and sends them over HTTP: the SDK's exporter with a cache of encoded shapes.

The spans of a pod have few shapes (name, kind, status and attributes) and differ in ids and times. The SDK's encoder is
called once per shape: a call per span would be much of what a kept trace costs (`bench/tracing`).
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

from forestay.ops.tracing import conventions as semconv

_MAX_SHAPES: Final = 1024
_HAS_REMOTE: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _HAS_REMOTE | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_NO_CONTEXT: Final = SpanContext(1, 1, is_remote=False)


class OtlpExporter(OTLPSpanExporter):
    """Exports over OTLP/HTTP. All spans must have the same resource and scope."""

    _frame = b""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        client = getattr(self, "_client", None)
        if client is None or self._shutdown:
            # Another version of the SDK, or an exporter that is shut down: the SDK's own method handles both.
            return super().export(spans)
        self._frame = self._frame or envelope(spans[0])
        result = client.export(encode(self._frame, spans))
        return SpanExportResult.SUCCESS if result.success else SpanExportResult.FAILURE


def envelope(span: ReadableSpan) -> bytes:
    """Encodes a request with the resource and the scope of `span`, and without spans."""
    request = encode_spans([span])
    request.resource_spans[0].scope_spans[0].ClearField("spans")
    body: bytes = request.SerializeToString()
    return body


def encode(frame: bytes, spans: Iterable[ReadableSpan]) -> bytes:
    """The body of a request to a collector. `frame`: the result of `envelope` for any of the spans."""
    request = ExportTraceServiceRequest.FromString(frame)
    encoded = request.resource_spans[0].scope_spans[0].spans
    for span in spans:
        if span.events:
            encoded.append(_encode_one(span))
        else:
            _write(encoded.add(), span)
    body: bytes = request.SerializeToString()
    return body


def _write(encoded: Span, span: ReadableSpan) -> None:
    attributes = span.attributes or {}
    shape = [(key, value) for key, value in attributes.items() if key not in semconv.HIGH_CARDINALITY]
    encoded.MergeFromString(_shape(span.name, span.kind, span.status, tuple(shape)))
    if len(shape) < len(attributes):
        for key in semconv.HIGH_CARDINALITY & attributes.keys():
            encoded.attributes.add(key=key).value.string_value = str(attributes[key])
    context, parent = span.get_span_context() or _NO_CONTEXT, span.parent
    encoded.trace_id = context.trace_id.to_bytes(16)
    encoded.span_id = context.span_id.to_bytes(8)
    encoded.trace_state = context.trace_state.to_header()
    encoded.start_time_unix_nano = span.start_time or 0
    encoded.end_time_unix_nano = span.end_time or 0
    encoded.flags = _flags(parent)
    if parent is not None:
        encoded.parent_span_id = parent.span_id.to_bytes(8)
    for link in span.links:
        target = link.context
        encoded.links.add(
            trace_id=target.trace_id.to_bytes(16), span_id=target.span_id.to_bytes(8), flags=_flags(target)
        )


def _flags(parent: SpanContext | None) -> int:
    return _REMOTE if parent is not None and parent.is_remote else _HAS_REMOTE


@lru_cache(_MAX_SHAPES)
def _shape(name: str, kind: SpanKind, status: Status, attributes: tuple[tuple[str, AttributeValue], ...]) -> bytes:
    """Encodes what all spans of one shape share."""
    span = _encode_one(ReadableSpan(name, _NO_CONTEXT, kind=kind, status=status, attributes=dict(attributes)))
    for field in ("trace_id", "span_id", "flags"):
        span.ClearField(field)
    encoded: bytes = span.SerializeToString()
    return encoded


def _encode_one(span: ReadableSpan) -> Span:
    encoded: Span = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]
    return encoded
