"""A core whose spans are kept."""

import asyncio
from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from forestay.core.ports.observer import together
from forestay.core.rules.policies import Policy
from forestay.ops.tracing.export import Telemetry
from forestay.ops.tracing.sampling import Manner, Sampling
from tests.support.core import Core


class Watched:
    """A core whose spans are kept here."""

    def __init__(self, ratio: float, *policies: Policy, names: bool = False) -> None:
        self._exporter = InMemorySpanExporter()
        sampling = Sampling(ratio, heeds_parent=True)
        self._telemetry = Telemetry([self._exporter], {})
        manner = Manner(sampling, continue_clients=False, heeds_callers=True, names=names, system="memory")
        self.tracing = self._telemetry.tracing(manner, asyncio.get_running_loop())
        self.incidents = self._telemetry.incidents(manner)
        self.core = Core(*policies, observer=together(self.tracing, self.incidents), tracer=self.tracing)

    def spans(self) -> Sequence[ReadableSpan]:
        """Everything that ended so far, in that order."""
        self.tracing.close()
        self._telemetry.flush()
        return self._exporter.get_finished_spans()

    def span(self, name: str, **attributes: object) -> ReadableSpan:
        (found,) = [
            span
            for span in self.spans()
            if span.name == name
            and all((span.attributes or {}).get(key.replace("_", ".")) == value for key, value in attributes.items())
        ]
        return found
