"""Tells operators how this pod is, and sheds connections for them."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from forestay.core.facts.traffic import Traffic
from forestay.core.fanout.hub import Hub
from forestay.core.ports.operating import Incident, Minute, Operating, Vitals, Wanted
from forestay.core.rules.shown import Shown
from forestay.core.sessions.relocation import Relocation
from forestay.ops.health.loop_lag import LoopLag
from forestay.ops.health.readiness import Readiness
from forestay.ops.looking.rates import RecentRates
from forestay.ops.looking.recents import Recents
from forestay.ops.metrics import process
from forestay.ops.moves.shares import shed
from forestay.pod.announcements import Announcements


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a pod that there are once it is wired."""

    hub: Hub
    relocation: Relocation
    readiness: Readiness
    announcements: Announcements
    limit: int
    """The connections that it may have."""


class PodOperating(Operating):
    """What operators see of this pod beside the core."""

    def __init__(self, shown: Collection[Shown], recents: Recents, lag: LoopLag, traffic: Traffic) -> None:
        """`shown`: see Operating."""
        self.shown = frozenset(shown)
        self.rates = RecentRates(traffic)
        self.running: Running | None = None
        """None until the pod is wired. No question comes before that."""
        self._recents = recents
        self._lag = lag
        self._started_at = process.started_at()

    def vitals(self) -> Vitals | None:
        running, memory = self.running, process.memory()
        if running is None:
            return None
        return Vitals(
            reason=running.readiness.reason,
            limit=running.limit,
            loop_lag=self._lag.smoothed,
            worst_loop_lag=self._lag.worst,
            cpu_seconds=process.cpu_seconds(),
            memory_bytes=None if memory is None else memory.resident,
            started_at=self._started_at,
            rates=self.rates.rates,
            drain=running.announcements.drain,
        )

    def recent(self, wanted: Wanted) -> Sequence[Incident]:
        return self._recents.recent(wanted)

    def minutes(self, number: int) -> Sequence[Minute]:
        return self._recents.minutes(number)

    def shed(self, share: float, within: float) -> int:
        running = self.running
        return 0 if running is None else shed(running.hub, running.relocation, share, within, random.Random())
