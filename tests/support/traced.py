"""A core whose spans are kept in memory."""

import asyncio
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from forestay.core.ports.observer import together
from forestay.core.rules.policies import Policy
from forestay.ops.tracing.export import Telemetry
from forestay.ops.tracing.readable import Readable
from forestay.ops.tracing.sampling import Sampling, TracingOptions
from forestay.ops.tracing.spans import Span
from tests.support.core import Core


class _Keeper(SpanExporter):
    """Keeps what it is to export."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def export(self, spans: Sequence[Span]) -> SpanExportResult:  # type: ignore[override]
        self.spans += spans
        return SpanExportResult.SUCCESS


class Watched:
    """A core with tracing and an exporter that keeps spans in memory."""

    def __init__(self, ratio: float, *policies: Policy, names: bool = False) -> None:
        sampling = Sampling(ratio, parent_based=True)
        self._telemetry = Telemetry([self._keep], {})
        options = TracingOptions(
            sampling, continue_clients=False, uses_caller_context=True, names=names, system="memory"
        )
        self.tracing = self._telemetry.tracing(options, asyncio.get_running_loop())
        self.incidents = self._telemetry.incidents(options)
        self.core = Core(*policies, observer=together(self.tracing, self.incidents), tracer=self.tracing)

    def spans(self) -> Sequence[ReadableSpan]:
        """All spans that ended so far, in this order."""
        return [self.readable(span) for span in self.own_spans()]

    def own_spans(self) -> Sequence[Span]:
        """The same, as an exporter of ours gets them."""
        self.tracing.close()
        self._telemetry.flush()
        return self._kept.spans

    def _keep(self, readable: Readable) -> SpanExporter:
        self.readable, self._kept = readable, _Keeper()
        return self._kept

    def span(self, name: str, **attributes: object) -> ReadableSpan:
        (found,) = [
            span
            for span in self.spans()
            if span.name == name
            and all((span.attributes or {}).get(key.replace("_", ".")) == value for key, value in attributes.items())
        ]
        return found
