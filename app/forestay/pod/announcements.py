"""Announces what happens to the whole pod: as Events of the cluster, and as spans."""

from forestay.core.fanout.hub import Hub
from forestay.ops.kubernetes.events import Reason
from forestay.pod.cluster import Surroundings
from forestay.pod.telemetry import Observation


class Announcements:
    def __init__(self, hub: Hub, around: Surroundings, observation: Observation) -> None:
        self._hub = hub
        self._around = around
        self._observation = observation

    def draining(self, window: float) -> None:
        """A drain over `window` seconds begins."""
        connections = len(self._hub)
        self._around.record(Reason.DRAIN_STARTED, f"{connections} connections are asked to move, over {window:g} s")
        self._observation.draining(connections, window)

    def drained(self) -> None:
        """The drain is over."""
        self._observation.drained(len(self._hub))

    def degraded(self) -> None:
        """The bus has been lost for the grace."""
        note = f"the bus is lost; {len(self._hub)} connections stay"
        self._around.record(Reason.BUS_DEGRADED, note, warning=True)

    def shed(self, number: int) -> None:
        """So many connections were asked to move to other pods."""
        note = f"{number} connections are asked to move: other pods have fewer"
        self._around.record(Reason.REBALANCE_SHED, note)
