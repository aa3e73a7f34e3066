"""Sends spans with OpenTelemetry's SDK, as the OTEL_* variables say, in a thread of its own.

The exporter's thread may hang for as long as a collector hangs. Delivery does not wait for it, and the end of the
process waits for it at most a given time.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from forestay.ops.tracing.incidents import Incidents
from forestay.ops.tracing.otlp import OtlpExporter
from forestay.ops.tracing.readable import Readable, ReadableExporter
from forestay.ops.tracing.sampling import TracingOptions
from forestay.ops.tracing.spans import Spans
from forestay.ops.tracing.tracing import Tracing

GROUP: Final = "opentelemetry_traces_exporter"
"""The entry point group where packages register exporters for OTEL_TRACES_EXPORTER."""

MakeExporter = Callable[[Readable], SpanExporter]
"""Makes an exporter of our spans."""

_OTLP_HTTP: Final = "otlp_proto_http"


class UnknownExporter(Exception):
    """No installed package provides this exporter."""


class Telemetry:
    """Sends the spans of this process to the exporters."""

    def __init__(self, exporters: Sequence[MakeExporter], resource: Mapping[str, str]) -> None:
        readable = Readable(Resource.create(dict(resource)))
        self._processors: list[SpanProcessor] = [BatchSpanProcessor(make(readable)) for make in exporters]
        self._spans = Spans(self._processors)

    def tracing(self, options: TracingOptions, loop: asyncio.AbstractEventLoop) -> Tracing:
        """Creates the tracer that makes the spans of messages."""
        return Tracing(self._spans, options, loop)

    def incidents(self, options: TracingOptions) -> Incidents:
        """Creates the observer that makes the spans of drains, outages and gaps."""
        return Incidents(self._spans, options.sampling)

    def flush(self) -> None:
        """Sends all finished spans and waits without a limit until that is done."""
        for processor in self._processors:
            processor.force_flush()

    async def close(self, seconds: float) -> None:
        """Sends the remaining spans, for at most `seconds`. A collector that does not answer is abandoned."""
        loop, finished = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            for processor in self._processors:
                processor.shutdown()
            try:
                loop.call_soon_threadsafe(finished.set)
            except RuntimeError:
                pass  # The loop was closed after the timeout.

        # A daemon thread, so that the process can end before the thread.
        threading.Thread(target=shut_down, name="telemetry", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await finished.wait()
        except TimeoutError:
            pass


def find_exporters(names: Sequence[str]) -> list[MakeExporter]:
    """Finds the exporters with these names, configured from the environment. Raises UnknownExporter."""
    return [OtlpExporter if name == _OTLP_HTTP else made(_entry_point(name).load()()) for name in names]


def made(exporter: SpanExporter) -> MakeExporter:
    """Takes an exporter that was made already: one that takes the SDK's objects."""
    return partial(ReadableExporter, exporter)


def _entry_point(name: str) -> EntryPoint:
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise UnknownExporter(name)
    return next(iter(found))
