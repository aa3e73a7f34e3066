"""Announces what happens to the whole pod: as Events of the cluster, and as spans."""

import time

from forestay.core.fanout.hub import Hub
from forestay.core.ports.operating import DrainProgress
from forestay.ops.kubernetes.events import Reason
from forestay.pod.cluster import ClusterParts
from forestay.pod.telemetry import Observation


class Announcements:
    def __init__(self, hub: Hub, cluster: ClusterParts, observation: Observation) -> None:
        self._hub = hub
        self._cluster = cluster
        self._observation = observation
        self.drain: DrainProgress | None = None
        """The drain that has begun."""

    def draining(self, window: float) -> None:
        """A drain over `window` seconds begins."""
        connections = len(self._hub)
        self.drain = DrainProgress(begun_at=time.time(), window=window, connections=connections)
        self._cluster.record(Reason.DRAIN_STARTED, f"{connections} connections are asked to move, over {window:g} s")
        self._observation.draining(connections, window)

    def drained(self) -> None:
        """The drain is over."""
        self._observation.drained(len(self._hub))

    def degraded(self) -> None:
        """The bus has been lost for the grace."""
        note = f"the bus is lost; {len(self._hub)} connections stay"
        self._cluster.record(Reason.BUS_DEGRADED, note, warning=True)

    def shed(self, number: int) -> None:
        """So many connections were asked to move to other pods."""
        note = f"{number} connections are asked to move: other pods have fewer"
        self._cluster.record(Reason.REBALANCE_SHED, note)
