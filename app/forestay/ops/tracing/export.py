"""Where spans go: the SDK set up as the OTEL_* variables say, in a thread of its own, with an end that is capped.

The exporter's thread may hang for as long as a collector does; nothing here or in delivery waits for it.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from forestay import __version__
from forestay.ops.tracing.incidents import Incidents
from forestay.ops.tracing.otlp import OtlpExporter
from forestay.ops.tracing.sampling import Manner
from forestay.ops.tracing.spans import Spans
from forestay.ops.tracing.tracing import Tracing

GROUP: Final = "opentelemetry_traces_exporter"
"""Where packages register the exporters that OTEL_TRACES_EXPORTER can name."""

_OTLP_HTTP: Final = "otlp_proto_http"


class NoExporter(Exception):
    """No package here brings this exporter."""


class Telemetry:
    """The spans' way out of the process."""

    def __init__(self, exporters: Sequence[SpanExporter], resource: Mapping[str, str]) -> None:
        self._processors: list[SpanProcessor] = [BatchSpanProcessor(exporter) for exporter in exporters]
        self._spans = Spans(self._processors, Resource.create(dict(resource)), __version__)

    def tracing(self, manner: Manner, loop: asyncio.AbstractEventLoop) -> Tracing:
        """Who makes the spans of messages."""
        return Tracing(self._spans, manner, loop)

    def incidents(self, manner: Manner) -> Incidents:
        """Who makes the spans of what belongs to no message."""
        return Incidents(self._spans, manner.sampling)

    def flush(self) -> None:
        """Send what there is and wait for it, however long it takes."""
        for processor in self._processors:
            processor.force_flush()

    async def close(self, seconds: float) -> None:
        """Send what is left, for so many seconds at most: a collector that does not answer is left behind."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            for processor in self._processors:
                processor.shutdown()
            try:
                loop.call_soon_threadsafe(over.set)
            except RuntimeError:
                pass  # The loop has gone on without us.

        # A daemon, so that the process can end before it does.
        threading.Thread(target=shut_down, name="telemetry", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            pass


def make_exporters(names: Sequence[str]) -> list[SpanExporter]:
    """The exporters called `names`, set up from the environment. Raises NoExporter."""
    return [OtlpExporter() if name == _OTLP_HTTP else _entry(name).load()() for name in names]


def _entry(name: str) -> EntryPoint:
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise NoExporter(name)
    return next(iter(found))
