"""Collectors: what each takes, and what it has of the trace of a client's message. A row of the table each."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from examples.__main__ import listens
from tests.collectors import programs
from tests.collectors.stage import CALLER, MESSAGES, PATIENCE, gateway
from tests.support.local_redis import free_port
from tests.support.otlp_sink import Span, sink
from tests.tracing_backend.jaeger import VERSION as JAEGER
from tests.tracing_backend.jaeger import jaeger as running_jaeger

Seen = Mapping[str, str]
Trace = Callable[[Path], Awaitable[Seen]]

_SPANS: Final = 3 * MESSAGES
"""`process`, `publish` and the `process` of the delivery for each message."""


async def otelcol(place: Path) -> Seen:
    """Spans pass through it to a sink of ours."""
    program = await programs.otelcol()
    async with sink() as behind:
        port = free_port()
        config = {
            "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
            "exporters": {"otlphttp": {"endpoint": f"http://127.0.0.1:{behind.port}", "compression": "none"}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlphttp"]}},
            },
        }
        (place / "config.yaml").write_text(json.dumps(config))
        async with programs.running(program, "--config=file:config.yaml", place=place), asyncio.timeout(PATIENCE):
            await listens(port)
            async with gateway(f"http://127.0.0.1:{port}"):
                while len(_of_messages(behind.spans)) < _SPANS:
                    await asyncio.sleep(0.05)
            return _seen(behind.spans)


async def jaeger(place: Path) -> Seen:
    """It keeps them in memory, and is asked for them over its API of version 3."""
    program = await programs.jaeger()
    async with running_jaeger(program) as here:
        async with gateway(here.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]):
            spans = await here.named("forestay", "publish **", MESSAGES)
        return _seen(spans)


def _of_messages(spans: Sequence[Span]) -> Sequence[Span]:
    return [span for span in spans if span.name in ("process **", "publish **")]


def _seen(spans: Sequence[Span]) -> Seen:
    """What there is of the first message, and of its link to the span of the client."""
    published = [span for span in spans if span.name == "publish **"]
    by_id = {span.span_id: span for span in spans}
    whole = sum(1 for span in published if span.parent_id in by_id)
    delivered = [span for span in spans if span.parent_id in {each.span_id for each in published}]
    of_client = tuple(CALLER.split("-")[1:3])
    linked = sum(1 for span in spans if of_client in span.links)
    joined = sum(1 for span in delivered if (span.trace_id, span.parent_id) in span.links)
    return {
        "A message is": _number(whole, "one trace: process, publish, process") if len(delivered) == MESSAGES else "cut",
        "Links to the client's span": _number(linked, "yes"),
        "Links of a delivery to its publish": _number(joined, "yes"),
        "Service and version": "yes" if {"service.name", "service.version"} <= spans[0].resource.keys() else "no",
    }


def _number(found: int, words: str) -> str:
    return words if found == MESSAGES else f"{found} of {MESSAGES}"


TRACERS: Final[Mapping[str, tuple[str, Trace]]] = {
    "OpenTelemetry Collector": (programs.OTELCOL, otelcol),
    "Jaeger": (JAEGER, jaeger),
}
"""By name the version, and how it is run."""
