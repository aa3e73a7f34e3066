"""The caching encoder writes the same bytes as the SDK's encoder would."""

import asyncio
import re

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult

from forestay.core.rules.policies import Policy
from forestay.core.sessions.backend import Publication
from forestay.ops.tracing.otlp import Encoder, OtlpExporter
from forestay.ops.tracing.readable import Readable
from forestay.ops.tracing.spans import Kind, Span
from forestay.protocol.names import RoomName
from forestay.protocol.trace import TraceContext
from tests.support.core import passes
from tests.support.otlp_sink import sink
from tests.support.traced import Watched

CLIENT_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def everything(*, names: bool) -> tuple[Readable, list[Span]]:
    """Spans of all kinds and shapes; those of messages several times."""
    watched = Watched(1.0, Policy("chat.*"), names=names)
    (alice, _), (bob, _) = watched.core.join("chat.a"), watched.core.join("chat.b")
    for connection, room in ((alice, "chat.a"), (bob, "chat.b"), (alice, "chat.a"), (alice, "no room")):
        watched.core.say(connection, type="broadcast", room=room, payload=1)
        watched.core.say(connection, type="broadcast", room=room, payload=1, traceparent=CLIENT_TRACE, tracestate="a=b")
    backend = watched.core.pod.backend
    await backend.publish(Publication(RoomName("chat.a"), b"1", trace=TraceContext(CLIENT_TRACE, "a=b,c=d")))
    watched.tracing.handshake("ok", 0.0, None)
    watched.tracing.handshake("503", 0.0, TraceContext(CLIENT_TRACE))
    watched.incidents.resynced(RoomName("a"), "lost", 3, None)
    watched.incidents.draining(3, 10.0)
    watched.incidents.drained(1)
    await passes()
    return watched.readable, list(watched.own_spans())


def plain(body: bytes) -> ExportTraceServiceRequest:
    """The request with sorted attributes, because attributes have no order."""
    request: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(body)
    for span in request.resource_spans[0].scope_spans[0].spans:
        span.attributes.sort(key=lambda attribute: attribute.key)
    return request


async def test_spans_of_every_shape_are_encoded_as_the_sdk_encodes_them() -> None:
    """Spans of every shape are encoded as by the SDK, both on the first and on the second time."""
    for names in (False, True):
        readable, spans = await everything(names=names)
        assert {span.shape.kind for span in spans} == set(Kind)
        encoder = Encoder(readable)
        for _ in range(2):
            expected = encode_spans([readable(span) for span in spans]).SerializeToString()
            assert plain(encoder.request(spans)) == plain(expected)


async def test_a_port_of_grpc_is_told_in_words(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to do, and none repeats the bytes of the answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # With something unread, the close would reset the connection, and take the answer with it.
        head = await reader.readuntil(b"\r\n\r\n")
        [size] = re.findall(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(size))
        # What a server of gRPC in Go begins with, whatever it is sent: SETTINGS of HTTP/2.
        writer.write(bytes.fromhex("000006040000000000000500004000"))
        await writer.drain()
        writer.close()

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    readable, spans = await everything(names=False)
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        exporter = OtlpExporter(readable, f"http://127.0.0.1:{port}/v1/traces")
        for _ in range(2):
            assert await asyncio.to_thread(exporter.export, spans) is SpanExportResult.FAILURE
    told = [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")]
    assert "4318" in told[0]
    assert all(line.isprintable() for line in told)
    assert len([line for line in told if "no spans are taken" in line]) == 1


async def test_the_exporter_sends_what_it_has_encoded() -> None:
    """The exporter sends the spans, through the part of the SDK that it relies on, and fails after its shutdown."""
    readable, spans = await everything(names=False)
    async with sink() as collector:
        exporter = OtlpExporter(readable, f"http://127.0.0.1:{collector.port}/v1/traces")
        assert hasattr(exporter, "_client")
        assert await asyncio.to_thread(exporter.export, spans) is SpanExportResult.SUCCESS
        assert [span.name for span in collector.spans] == [span.shape.name for span in spans]
        exporter.shutdown()  # type: ignore[no-untyped-call]
        assert await asyncio.to_thread(exporter.export, spans) is SpanExportResult.FAILURE
