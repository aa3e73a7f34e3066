"""Decides whether new connections should come to this pod, from what the pod knows without asking.

The pod looks a few times a second, and a probe reads the last result. Only the effect of a lost bus needs knowledge of
other pods: see `quorum`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import structlog

from forestay.core.rules.lifecycle import Lifecycle, State
from forestay.ops.health.quorum import Peer, may_leave, should_return

log = structlog.get_logger(__name__)

_INTERVAL: Final = 0.25
# Shares of the allowed connections. From the first on, new ones should go elsewhere. Below the second they may come
# here again.
_NEARLY_FULL: Final = 0.9
_ROOM_AGAIN: Final = 0.8


class BusReadiness(StrEnum):
    """What a lost bus does to readiness."""

    AUTO = "auto"
    """Not ready if other pods have the bus; else ready and degraded."""
    STRICT = "strict"
    """Not ready."""
    DEGRADED = "degraded"
    """Ready."""


class Neighbours(Protocol):
    """The pods behind our Service."""

    def wake(self) -> None:
        """Start to follow them: they are needed soon. Without trouble no pod needs to know them."""

    def rest(self) -> None:
        """Stop following them: they are not needed for a while."""

    def pods(self) -> Sequence[Peer] | None:
        """All pods that do not terminate; None where they are not known."""


class NoNeighbours:
    """The Neighbours of a pod that cannot ask the cluster."""

    def wake(self) -> None:
        """Do nothing."""

    def rest(self) -> None:
        """Do nothing."""

    def pods(self) -> Sequence[Peer] | None:
        return None


@dataclass(frozen=True, slots=True)
class Vitals:
    """The facts that readiness is decided from."""

    connections: Callable[[], int]
    most_connections: int
    bus_up: Callable[[], bool]
    lag: Callable[[], float]
    """Seconds by which the event loop is late."""
    most_lag: float
    """Seconds; 0 means no limit."""
    failing_tasks: Callable[[], Sequence[str]]
    """The names of background tasks that have failed and are not yet healthy again."""
    keys_missing: Callable[[], str | None]
    """Why no token at all can be verified; None where some can."""


@dataclass(frozen=True, slots=True)
class BusRule:
    """When a lost bus makes the pod not ready."""

    mode: BusReadiness
    grace: float
    """Seconds for which a lost bus has no effect."""
    pod: str
    """This pod's name among its neighbours."""


@dataclass(frozen=True, slots=True)
class Check:
    """One of the answers that make up readiness."""

    name: str
    ok: bool
    reason: str


class Readiness:
    def __init__(
        self,
        lifecycle: Lifecycle,
        vitals: Vitals,
        rule: BusRule,
        neighbours: Neighbours,
        degraded: Callable[[], None],
    ) -> None:
        """`degraded` is called once each time when the bus has been lost for the grace."""
        self._lifecycle = lifecycle
        self._vitals = vitals
        self._rule = rule
        self._neighbours = neighbours
        self._degraded = degraded
        self._saturated = self._lagging = False
        self._lost_at: float | None = None
        self._left = False
        """Whether the pod is not ready because of the bus."""
        self._grace_is_over = False
        self.bus_reached = asyncio.Event()
        """Set from the first time that the bus is up."""

    async def watch(self, clock: Callable[[], float]) -> None:
        """Look until cancelled. `clock`: Unix seconds."""
        loop = asyncio.get_running_loop()
        while True:
            self.look(loop.time(), clock())
            await asyncio.sleep(_INTERVAL)

    @property
    def ready(self) -> bool:
        return all(check.ok for check in self.checks())

    @property
    def reason(self) -> str:
        """Why the pod is not ready, or `ready`: a value from a closed set."""
        return next((check.name for check in self.checks() if not check.ok), "ready")

    def checks(self) -> list[Check]:
        """All checks with their reasons, the most important first. Reads memory only."""
        state = self._lifecycle.state
        serving = self._lifecycle.open
        vitals = self._vitals
        failing, keys_missing = vitals.failing_tasks(), vitals.keys_missing()
        return [
            Check("starting", state is not State.STARTING and self._started, self._start_reason()),
            Check("draining", state not in (State.DRAINING, State.STOPPED), "serving" if serving else state.value),
            Check("tasks", not failing, f"failed: {', '.join(failing)}" if failing else "running"),
            Check("keys", keys_missing is None, keys_missing or "known"),
            Check("saturated", not self._saturated, f"{vitals.connections()} of {vitals.most_connections} connections"),
            Check("lagging", not self._lagging, f"the event loop is {vitals.lag():.3f} s late"),
            Check("bus", not self._left, self._bus_reason()),
        ]

    @property
    def _started(self) -> bool:
        return self.bus_reached.is_set()

    @property
    def started(self) -> bool:
        """Whether the pod has come up. Once true, it stays true."""
        return self._lifecycle.state is not State.STARTING and self._started

    def look(self, now: float, clock: float) -> None:
        """Update the checks and the state of the pod. `now`: monotonic seconds; `clock`: Unix seconds."""
        vitals = self._vitals
        share = vitals.connections() / vitals.most_connections
        self._saturated = share >= (_ROOM_AGAIN if self._saturated else _NEARLY_FULL)
        limit = vitals.most_lag / 2 if self._lagging else vitals.most_lag
        self._lagging = 0 < limit < vitals.lag()
        self._look_at_bus(now, clock)
        self._move()

    def _look_at_bus(self, now: float, clock: float) -> None:
        mode = self._rule.mode
        if self._vitals.bus_up():
            if self._lost_at is not None:
                self._neighbours.rest()
            self.bus_reached.set()
            self._lost_at, self._left, self._grace_is_over = None, False, False
            return
        if self._lost_at is None:
            self._lost_at = now
            if mode is BusReadiness.AUTO:
                self._neighbours.wake()
        if now - self._lost_at < self._rule.grace:
            return
        if not self._grace_is_over:
            self._grace_is_over = True
            if self.bus_reached.is_set():
                self._degraded()
        if mode is BusReadiness.AUTO:
            self._decide(clock)
        else:
            self._left = mode is BusReadiness.STRICT

    def _decide(self, clock: float) -> None:
        pods, pod = self._neighbours.pods(), self._rule.pod
        before = self._left
        if pods is None:
            self._left = False
        elif self._left:
            self._left = not should_return(pods, pod, clock)
        else:
            self._left = may_leave(pods, pod, clock)
        if self._left is not before:
            log.warning("readiness changed with the bus lost", ready=not self._left)

    def _move(self) -> None:
        if not self._lifecycle.open:
            return
        served = State.SATURATED if self._saturated else State.READY
        state = served if self._lost_at is None else State.DEGRADED
        if state is not self._lifecycle.state:
            self._lifecycle.move(state)

    def _start_reason(self) -> str:
        if not self._started:
            return "the bus has not been reached yet"
        return "not listening yet" if self._lifecycle.state is State.STARTING else "started"

    def _bus_reason(self) -> str:
        if self._lost_at is None:
            return "up"
        if self._left:
            return "lost, and other pods have it" if self._rule.mode is BusReadiness.AUTO else "lost"
        if not self._grace_is_over:
            return "lost just now"
        return "lost; still ready, because no pod is known to have it"
