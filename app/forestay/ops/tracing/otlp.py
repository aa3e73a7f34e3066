"""Encodes spans as OTLP and sends them over HTTP: the SDK's exporter, with an encoder that keeps encoded shapes.

The spans of a pod have few shapes and differ in ids and times. The SDK's encoder is called once for each shape: a call
for each span would be much of what a kept trace costs (`bench/tracing`). A message of protobuf is the concatenation of
its fields in any order, so the ids and times are written behind the encoded shape.
https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, SpanFlags
from opentelemetry.proto.trace.v1.trace_pb2 import Span as EncodedSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from forestay.ops.tracing.readable import Readable, trace_state
from forestay.ops.tracing.spans import Place, Shape, Span
from forestay.ops.tracing.wrong_port import NoHttp

_HAS_REMOTE: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _HAS_REMOTE | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK

# Each field behind its tag, and its length where it has one: trace_id 1, span_id 2, start 7 and end 8, flags 16.
_OWN: Final = Struct("<2s16s2s8ssQsQ2sI")
_TRACE_ID, _SPAN_ID, _START, _END, _FLAGS = b"\x0a\x10", b"\x12\x08", b"\x39", b"\x41", b"\x85\x01"
_PARENT_ID: Final = b"\x22\x08"
# A link as a whole: trace_id 1, span_id 2, flags 6.
_LINK: Final = Struct("<2s2s16s2s8ssI")
_LINK_LENGTH, _LINK_FLAGS = b"\x6a\x21", b"\x35"
_STATE, _ATTRIBUTE, _KEY, _VALUE, _TEXT = b"\x1a", b"\x4a", b"\x0a", b"\x12", b"\x0a"
_RESOURCE_SPANS, _SCOPE_SPANS, _SPAN = b"\x0a", b"\x12", b"\x12"

_SHORT: Final = tuple(bytes([length]) for length in range(0x80))
"""The lengths of one byte."""


class OtlpExporter(OTLPSpanExporter):
    """Exports over OTLP/HTTP."""

    def __init__(self, readable: Readable, endpoint: str | None = None) -> None:
        """`endpoint`: as the OTEL_* variables say, where there is none."""
        super().__init__(endpoint)
        logging.getLogger(OTLPSpanExporter.__module__).filters = [NoHttp()]
        self._encoder = Encoder(readable)
        self._readable = readable

    def export(self, spans: Sequence[Span]) -> SpanExportResult:  # type: ignore[override]
        client = getattr(self, "_client", None)
        if client is None or self._shutdown or self._readable.limited:
            # Another version of the SDK, an exporter that is shut down, or limits: the SDK's own method handles them.
            return super().export([self._readable(span) for span in spans])
        result = client.export(self._encoder.request(spans))
        return SpanExportResult.SUCCESS if result.success else SpanExportResult.FAILURE


class Encoder:
    """Encodes spans of one resource and one scope."""

    def __init__(self, readable: Readable) -> None:
        self._readable = readable
        self._resource: bytes | None = None
        """The resource, encoded, and the scope: what each request begins with."""
        self._scope = b""

    def request(self, spans: Sequence[Span]) -> bytes:
        """The body of a request to a collector. `spans`: at least one."""
        if self._resource is None:
            self._resource, self._scope = self._envelope(spans[0])
        scope = self._scope + b"".join(_field(_SPAN, self._span(span)) for span in spans)
        return _field(_RESOURCE_SPANS, self._resource + _field(_SCOPE_SPANS, scope))

    def _envelope(self, span: Span) -> tuple[bytes, bytes]:
        """The resource without scopes, and the scope without spans."""
        resource = encode_spans([self._readable(span)]).resource_spans[0]
        scope = resource.scope_spans[0]
        scope.ClearField("spans")
        encoded = _serialized(scope)
        resource.ClearField("scope_spans")
        return _serialized(resource), encoded

    def _span(self, span: Span) -> bytes:
        if span.events:
            return _serialized(self._by_sdk(span))
        shape, place = span.shape, span.place
        encoded = shape.encoded
        if encoded is None:
            encoded = shape.encoded = self._shape(shape)
        parent, link = place.parent, place.link
        flags = _HAS_REMOTE if parent is None else _REMOTE
        ids = _TRACE_ID, place.trace_id.to_bytes(16), _SPAN_ID, place.span_id.to_bytes(8)
        encoded += _OWN.pack(*ids, _START, span.started, _END, span.ended, _FLAGS, flags)
        if place.parent_id:
            encoded += _PARENT_ID + place.parent_id.to_bytes(8)
        if link is not None:
            encoded += _link(link.traceparent)
        if place.state:
            encoded += _field(_STATE, trace_state(place.state).to_header().encode())
        for key, value in span.texts.items():
            encoded += _field(_ATTRIBUTE, _key(key) + _field(_VALUE, _field(_TEXT, str(value).encode())))
        return encoded

    def _shape(self, shape: Shape) -> bytes:
        encoded = self._by_sdk(Span(shape, Place(1, 1), 0, 0, {}))
        for field in ("trace_id", "span_id", "flags"):
            encoded.ClearField(field)
        return _serialized(encoded)

    def _by_sdk(self, span: Span) -> EncodedSpan:
        encoded: EncodedSpan = encode_spans([self._readable(span)]).resource_spans[0].scope_spans[0].spans[0]
        return encoded


def _serialized(message: EncodedSpan | ScopeSpans | ResourceSpans) -> bytes:
    encoded: bytes = message.SerializeToString()
    return encoded


def _link(traceparent: str) -> bytes:
    """A link to the span of a caller."""
    trace_id, span_id = bytes.fromhex(traceparent[3:35]), bytes.fromhex(traceparent[36:52])
    return _LINK.pack(_LINK_LENGTH, _TRACE_ID, trace_id, _SPAN_ID, span_id, _LINK_FLAGS, _REMOTE)


@lru_cache
def _key(key: str) -> bytes:
    return _field(_KEY, key.encode())


def _field(tag: bytes, content: bytes) -> bytes:
    """A field of bytes, text or a message: its tag, its length as a varint, and its content."""
    length = len(content)
    if length < len(_SHORT):
        return tag + _SHORT[length] + content
    groups = bytearray()
    while length > 0x7F:
        groups.append(length & 0x7F | 0x80)
        length >>= 7
    groups.append(length)
    return tag + groups + content
