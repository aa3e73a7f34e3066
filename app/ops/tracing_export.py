"""Where spans go: the SDK set up as the OTEL_* variables say, in a thread of its own, with an end that is capped.

The exporter's thread may hang for as long as a collector does; nothing here or in delivery waits for it.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased

from app.core.ports import Observer
from app.ops.sampling import Manner, Sampling
from app.ops.tracing import Tracing
from app.ops.tracing_ids import Ids

GROUP: Final = "opentelemetry_traces_exporter"
"""Where packages register the exporters that OTEL_TRACES_EXPORTER can name."""


class NoExporter(Exception):
    """No package here brings this exporter."""


class Telemetry:
    """The spans' way out of the process."""

    def __init__(self, exporters: Sequence[SpanExporter], resource: Mapping[str, str], sampling: Sampling) -> None:
        self._ids = Ids()
        # Its own end at the exit of the process would wait for a dead collector without a cap.
        self._provider = TracerProvider(
            sampler=_sampler(sampling),
            resource=Resource.create(dict(resource)),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        for exporter in exporters:
            self._provider.add_span_processor(BatchSpanProcessor(exporter))

    def observer(self, told: Observer, manner: Manner, clock: Callable[[], float]) -> Tracing:
        """Whoever makes the spans; `told` hears every fact as well."""
        return Tracing(told, self._provider, self._ids, manner, clock)

    def flush(self) -> None:
        """Send what there is and wait for it, however long it takes."""
        self._provider.force_flush()

    async def close(self, seconds: float) -> None:
        """Send what is left, for so many seconds at most: a collector that does not answer is left behind."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
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
    return [_entry(name).load()() for name in names]


def _entry(name: str) -> EntryPoint:
    found = entry_points(group=GROUP, name=name)
    if not found:
        raise NoExporter(name)
    return next(iter(found))


def _sampler(sampling: Sampling) -> Sampler:
    root = TraceIdRatioBased(sampling.ratio)
    return ParentBased(root) if sampling.heeds_parent else root
