"""A fake collector: receives OTLP over HTTP, keeps every span, and can hang or refuse like a real one."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Wire

from tests.support.gateway import PATIENCE

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    attributes: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """One span as a backend would store it, with ids in hex."""

    name: str
    kind: str
    """`SERVER`, `CONSUMER`, `PRODUCER`, `INTERNAL`."""
    trace_id: str
    span_id: str
    parent_id: str
    links: list[tuple[str, str]]
    """The ids of the trace and of the span."""
    attributes: dict[str, Value]
    events: list[Event]
    failed: bool
    start: int
    end: int
    """Unix nanoseconds."""
    resource: dict[str, Value]
    state: str


@dataclass(slots=True)
class Sink:
    port: int = 0
    spans: list[Span] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    """All received bodies, uncompressed, to search for data that must not be in them."""
    hanging: bool = False
    """Receive requests and never answer them."""
    requests: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def environ(self) -> dict[str, str]:
        """Variables that send a gateway's spans here without delay."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}

    async def until(self, enough: Callable[[list[Span]], object]) -> list[Span]:
        """Waits until `enough` is true for the received spans."""
        async with asyncio.timeout(PATIENCE):
            while not enough(self.spans):
                self._news.clear()
                await self._news.wait()
        return self.spans

    async def named(self, *names: str) -> list[Span]:
        """Waits until there is one span per item of `names`. A name may repeat."""
        await self.until(lambda spans: all(sum(s.name == name for s in spans) >= names.count(name) for name in names))
        return [span for span in self.spans if span.name in names]

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests += 1
        if self.hanging:
            await asyncio.sleep(3600)
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.raw += body
        message = ExportTraceServiceRequest()
        message.ParseFromString(body)
        for of_resource in message.resource_spans:
            resource = _attributes(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [_span(span, resource) for span in of_scope.spans]
        self._news.set()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


@asynccontextmanager
async def sink(port: int = 0) -> AsyncIterator[Sink]:
    """A collector on loopback until the block ends."""
    taking = Sink()
    app = web.Application()
    app.router.add_post("/v1/traces", taking.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    taking.port = runner.addresses[0][1]
    try:
        yield taking
    finally:
        await runner.cleanup()


def _span(span: Wire, resource: dict[str, Value]) -> Span:
    return Span(
        name=span.name,
        kind=Wire.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        attributes=_attributes(span.attributes),
        events=[Event(event.name, _attributes(event.attributes)) for event in span.events],
        failed=span.status.code == 2,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        resource=resource,
        state=span.trace_state,
    )


def _attributes(pairs: "list[KeyValue]") -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    found: Value = getattr(value, value.WhichOneof("value") or "string_value")
    return found
