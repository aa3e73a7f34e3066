"""Reads the state of a running pod, for the metrics, for readiness and for balance."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from forestay import __version__
from forestay.core.ports.webhooks import Backlog
from forestay.core.rules.lifecycle import State
from forestay.edge.handshake.admission import Admission
from forestay.ops.health.loop_lag import LoopLag
from forestay.ops.health.readiness import Readiness, Vitals
from forestay.ops.kubernetes.neighbourhood import Neighbourhood
from forestay.ops.logs import logs
from forestay.ops.metrics.metrics import Readings
from forestay.ops.moves.balance import Balance, BalanceFacts
from forestay.pod.event_loops import name_of
from forestay.pod.hooks import Application
from forestay.pod.inputs import Parts
from forestay.pod.wiring import Pod
from forestay.protocol.deflate.deflating import Traffic
from forestay.protocol.wire import NAMES
from forestay.settings.settings import Settings


def vitals(settings: Settings, pod: Pod, lag: LoopLag, parts: Parts) -> Vitals:
    """Return what readiness reads."""
    return Vitals(
        connections=lambda: len(pod.hub),
        most_connections=settings.max_connections,
        bus_up=lambda: pod.bus.up,
        lag=lambda: lag.smoothed,
        most_lag=settings.readiness_lag,
        failing_tasks=lambda: parts.tasks.failing,
        keys_missing=lambda: parts.keys.missing,
    )


def balance_facts(settings: Settings, pod: Pod, readiness: Readiness, neighbours: Neighbourhood) -> BalanceFacts:
    """Return what balance reads."""
    return BalanceFacts(
        load=lambda: pod.pods.load,
        alive=lambda: len(pod.pods.alive),
        pods=neighbours.pods,
        changed_at=lambda: neighbours.changed_at,
        leaving=neighbours.leaving,
        well=lambda: pod.bus.up and readiness.ready,
        places=settings.max_connections,
    )


@dataclass(frozen=True, slots=True)
class Sources:
    """The parts outside the core that the metrics read."""

    readiness: Readiness
    lag: LoopLag
    admission: Admission
    balance: Balance | None
    parts: Parts
    webhooks: Callable[[], Backlog]
    """What waited for the receiver when this pod looked last."""
    application: Application | None
    """What asks the application; None where it has no hooks."""


def readings(settings: Settings, pod: Pod, sources: Sources) -> Readings:
    """Return what the metrics read at each scrape."""
    readiness, lag, admission, balance = sources.readiness, sources.lag, sources.admission, sources.balance

    def states() -> Mapping[str, int]:
        here, asked = len(pod.hub), pod.hub.moving
        closing = max(0, admission.sockets - here)
        return {"open": here - asked, "relocating": asked, "closing": closing}

    return Readings(
        version=__version__,
        loop=name_of(asyncio.get_running_loop()),
        states=states,
        wires=lambda: dict.fromkeys(NAMES, 0) | dict(pod.hub.by_wire),
        most_connections=settings.max_connections,
        rooms=lambda: len(pod.rooms),
        present=lambda: len(pod.presence),
        bus_up=lambda: pod.bus.up,
        bus_round_trip=lambda: pod.bus.round_trip or 0.0,
        ready=lambda: readiness.reason,
        lag=lambda: lag.worst,
        fair_share=lambda: 0.0 if balance is None else balance.share or 0.0,
        compression=lambda: _compression(pod),
        webhooks=sources.webhooks,
        published_keys=lambda: sources.parts.keys.published,
        draining=lambda: pod.lifecycle.state is State.DRAINING,
        task_failures=lambda: sources.parts.tasks.failures,
        hooks_under_way=lambda: 0 if pod.hooks is None else pod.hooks.under_way,
        hooks_waiting=lambda: 0 if pod.hooks is None else pod.hooks.waiting,
        broken_hooks=dict if sources.application is None else sources.application.broken,
        dropped_lines=logs.dropped,
    )


def _compression(pod: Pod) -> Mapping[str, Mapping[str, int]]:
    """Return the bytes before and after, also where there is no compression."""
    compression = pod.wires.compression
    none = Traffic()
    traffic = {"sent": none, "received": none}
    if compression is not None:
        traffic = {"sent": compression.sent, "received": compression.received}
    return {way: {"plain": one.plain, "compressed": one.compressed} for way, one in traffic.items()}
