"""What a pod has of the cluster around it, if there is one: its neighbours, and a journal to write events in."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from forestay.ops.kubernetes.api import Cluster, Pod
from forestay.ops.kubernetes.endpoints import Endpoints
from forestay.ops.kubernetes.events import Events, Reason
from forestay.ops.kubernetes.neighbourhood import Neighbourhood
from forestay.settings import Settings, Whereabouts


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything in it may be missing: the pod serves all the same."""

    neighbours: Neighbourhood | None
    events: Events | None
    cluster: Cluster | None

    def start(self, settings: Settings) -> None:
        if self.events is not None:
            self.events.start()
        if self.neighbours is not None and settings.rebalance_shed:
            self.neighbours.wake()

    def tell(self, reason: Reason, note: str, *, warning: bool = False) -> None:
        """It happened, for whoever reads the cluster's log."""
        if self.events is not None:
            self.events.tell(reason, note, warning=warning)

    async def close(self, seconds: float) -> None:
        """Say what is to be said, for so many seconds at most, and let go."""
        if self.neighbours is not None:
            self.neighbours.close()
        if self.events is not None:
            await self.events.close(seconds)
        if self.cluster is not None:
            await self.cluster.close()


def surroundings(settings: Settings, where: Whereabouts, told: Callable[[str], None]) -> Surroundings:
    """Nobody is asked yet: the cluster's client is loaded with the first question. `told` hears of each fault."""
    if not (where.pod and where.namespace):
        return Surroundings(None, None, None)
    cluster = Cluster(Pod(where.namespace, where.pod, where.uid), where.service)
    neighbours = None
    if where.service:
        endpoints = Endpoints(cluster, random.uniform, told)
        neighbours = Neighbourhood(endpoints, always=settings.rebalance_shed)
    return Surroundings(neighbours, Events(cluster, told) if settings.kubernetes_events else None, cluster)
