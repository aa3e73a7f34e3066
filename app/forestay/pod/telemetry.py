"""Builds the observers of a pod: metrics always, and spans if the OTEL_* variables name a destination."""

import os
import secrets
import time
from asyncio import AbstractEventLoop
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from forestay import __version__
from forestay.core.ports.observer import Observer, together
from forestay.core.rules.shown import Shown
from forestay.ops.logs.refusals import RefusalLog
from forestay.ops.looking.recents import Recents
from forestay.ops.metrics.counts import Counts
from forestay.ops.tracing.plan import Plan, plan, prepare
from forestay.ops.tracing.sampling import TraceParent, TracingOptions
from forestay.pod.hooks import HookLog
from forestay.settings.settings import PodIdentity, Settings, pod_identity
from forestay.settings.surroundings import MEMORY

if TYPE_CHECKING:
    from forestay.ops.tracing.export import Telemetry
    from forestay.ops.tracing.incidents import Incidents
    from forestay.ops.tracing.tracing import Tracing

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Observation:
    counts: Counts
    observer: Observer
    recents: Recents
    tracing: "Tracing | None" = None
    telemetry: "Telemetry | None" = None
    """Exports the spans; None without a destination."""
    incidents: "Incidents | None" = None

    def draining(self, connections: int, window: float) -> None:
        if self.incidents is not None:
            self.incidents.draining(connections, window)

    def drained(self, left: int) -> None:
        if self.incidents is not None:
            self.incidents.drained(left)

    async def close(self, seconds: float) -> None:
        """Export the spans that are left, for at most `seconds`."""
        if self.tracing is not None:
            self.tracing.close()
        if self.incidents is not None:
            self.incidents.close()
        if self.telemetry is not None:
            await self.telemetry.close(seconds)


def planned(where: PodIdentity) -> Plan:
    """Return what the OTEL_* variables ask for."""
    return plan(os.environ, __version__, where.uid or secrets.token_hex(8))


def observe(settings: Settings, loop: AbstractEventLoop) -> Observation:
    """Build the observers. Logs what is missing and serves without it, because no message waits for a trace."""
    wanted = planned(pod_identity())
    telemetry, problems = prepare(wanted)
    # Without tracing, the trace contexts of messages come from the clients, unchanged.
    counts = Counts(exemplars=telemetry is not None)
    recents = Recents(time.time, addresses=Shown.ADDRESSES in settings.ops_show)
    watching: list[Observer] = [counts, recents, HookLog()]
    if settings.log_level == "DEBUG":
        watching.append(RefusalLog())
    for problem in problems:
        log.warning(problem)
    if telemetry is None:
        return Observation(counts, together(*watching), recents)
    memory = settings.bus_url.get_secret_value() == MEMORY
    options = TracingOptions(
        sampling=wanted.sampling,
        continue_clients=settings.trace_parent is TraceParent.CHILD,
        uses_caller_context=wanted.uses_caller_context,
        names=settings.trace_names,
        system="memory" if memory else "redis",
    )
    tracing, incidents = telemetry.tracing(options, loop), telemetry.incidents(options)
    return Observation(counts, together(*watching, tracing, incidents), recents, tracing, telemetry, incidents)
