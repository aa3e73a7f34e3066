"""Builds what a pod has of the cluster around it, if there is one: its neighbours and its Events."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from forestay.core.ports.tasks import Tasks
from forestay.ops.kubernetes.api import Cluster, Pod
from forestay.ops.kubernetes.endpoints import Endpoints
from forestay.ops.kubernetes.events import Events, Reason
from forestay.ops.kubernetes.neighbourhood import Neighbourhood
from forestay.settings.settings import PodIdentity, Settings


@dataclass(frozen=True, slots=True)
class ClusterParts:
    """The parts that talk to the cluster. Each of them may be missing; the pod serves without it."""

    neighbours: Neighbourhood | None
    events: Events | None
    cluster: Cluster | None

    def start(self, settings: Settings) -> None:
        if self.events is not None:
            self.events.start()
        if self.neighbours is not None and settings.rebalance_shed:
            self.neighbours.wake()

    def record(self, reason: Reason, note: str, *, warning: bool = False) -> None:
        """Write an Event about this pod, if the cluster takes them. Does not wait."""
        if self.events is not None:
            self.events.record(reason, note, warning=warning)

    async def close(self, seconds: float) -> None:
        """Write the Events that are left, for at most `seconds`, and close the connections to the cluster."""
        if self.neighbours is not None:
            self.neighbours.close()
        if self.events is not None:
            await self.events.close(seconds)
        if self.cluster is not None:
            await self.cluster.close()


def cluster_parts(
    settings: Settings, where: PodIdentity, tasks: Tasks, count_fault: Callable[[str], None]
) -> ClusterParts:
    """Makes no request yet: the client library is loaded with the first one. `count_fault` is called for each fault."""
    if not (where.pod and where.namespace):
        return ClusterParts(None, None, None)
    cluster = Cluster(Pod(where.namespace, where.pod, where.uid), where.service)
    neighbours = None
    if where.service:
        endpoints = Endpoints(cluster, random.uniform, count_fault)
        neighbours = Neighbourhood(endpoints, tasks, always=settings.rebalance_shed)
    events = Events(cluster, tasks, count_fault) if settings.kubernetes_events else None
    return ClusterParts(neighbours, events, cluster)
