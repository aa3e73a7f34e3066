"""Whether new connections should come here, from what is known without asking anybody.

Looked at a few times a second; a probe reads the last answer. What a lost bus means is the one question that a pod
cannot answer by itself: see the quorum.
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
# Of the connections that there may be: from where new ones should go elsewhere, and where they may come again.
_NEARLY_FULL: Final = 0.9
_ROOM_AGAIN: Final = 0.8


class BusReadiness(StrEnum):
    """What a lost bus does to readiness."""

    AUTO = "auto"
    """Unready where others have it; else ready and degraded."""
    STRICT = "strict"
    """Unready."""
    DEGRADED = "degraded"
    """Ready."""


class Neighbours(Protocol):
    """Who else serves."""

    def wake(self) -> None:
        """They will be asked about soon: in peace nobody needs to know them."""

    def rest(self) -> None:
        """They will not be asked about for a while."""

    def fleet(self) -> Sequence[Peer] | None:
        """The pods behind our Service, those on their way out left out; None where that is not known."""


class NoNeighbours:
    """Nobody can be asked."""

    def wake(self) -> None:
        """Nothing changes."""

    def rest(self) -> None:
        """Nothing changes."""

    def fleet(self) -> Sequence[Peer] | None:
        return None


@dataclass(frozen=True, slots=True)
class Vitals:
    """What is looked at."""

    connections: Callable[[], int]
    most_connections: int
    bus_up: Callable[[], bool]
    lag: Callable[[], float]
    """Seconds by which the event loop is late."""
    most_lag: float
    """Seconds; 0 is no limit."""


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
        bus: BusReadiness,
        grace: float,
        neighbours: Neighbours,
        me: str,
    ) -> None:
        """`grace`: seconds for which the bus may be lost without consequence. `me`: our name among the neighbours."""
        self._lifecycle = lifecycle
        self._vitals = vitals
        self._mode = bus
        self._grace = grace
        self._neighbours = neighbours
        self._me = me
        self._saturated = self._lagging = False
        self._lost_at: float | None = None
        self._left = False
        """Whether we are unready because of the bus."""
        self.bus_seen = False
        """Whether the bus was ever there."""
        self.degraded: Callable[[], None] = _nobody_to_tell
        """Told when the bus has been lost for the grace."""
        self._told = False

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
        """Why the pod is not ready, or `ready`: one word from a closed set."""
        return next((check.name for check in self.checks() if not check.ok), "ready")

    def checks(self) -> list[Check]:
        """Each check with its reason, the one that matters most first. Costs nothing."""
        state = self._lifecycle.state
        serving = self._lifecycle.open
        vitals = self._vitals
        return [
            Check("starting", state is not State.STARTING and self._started, self._start_reason()),
            Check("draining", state not in (State.DRAINING, State.STOPPED), "serving" if serving else state.value),
            Check("saturated", not self._saturated, f"{vitals.connections()} of {vitals.most_connections} connections"),
            Check("lagging", not self._lagging, f"the event loop is {vitals.lag():.3f} s late"),
            Check("bus", not self._left, self._bus_reason()),
        ]

    @property
    def _started(self) -> bool:
        return self.bus_seen or self._mode is BusReadiness.DEGRADED

    @property
    def started(self) -> bool:
        """Whether the pod has come up; once true it stays so."""
        return self._lifecycle.state is not State.STARTING and self._started

    def look(self, now: float, clock: float) -> None:
        """See what has changed. `now`: monotonic seconds; `clock`: Unix seconds."""
        vitals = self._vitals
        share = vitals.connections() / vitals.most_connections
        self._saturated = share >= (_ROOM_AGAIN if self._saturated else _NEARLY_FULL)
        limit = vitals.most_lag / 2 if self._lagging else vitals.most_lag
        self._lagging = 0 < limit < vitals.lag()
        self._look_at_bus(now, clock)
        self._move()

    def _look_at_bus(self, now: float, clock: float) -> None:
        if self._vitals.bus_up():
            if self._lost_at is not None:
                self._neighbours.rest()
            self.bus_seen, self._lost_at, self._left, self._told = True, None, False, False
            return
        if self._lost_at is None:
            self._lost_at = now
            if self._mode is BusReadiness.AUTO:
                self._neighbours.wake()
        if now - self._lost_at < self._grace:
            return
        if not self._told:
            self._told = True
            if self.bus_seen:
                self.degraded()
        if self._mode is not BusReadiness.AUTO:
            self._left = self._mode is BusReadiness.STRICT
            return
        self._decide(clock)

    def _decide(self, clock: float) -> None:
        fleet = self._neighbours.fleet()
        before = self._left
        if fleet is None:
            self._left = False
        elif self._left:
            self._left = not should_return(fleet, self._me, clock)
        else:
            self._left = may_leave(fleet, self._me, clock)
        if self._left is not before:
            log.warning("readiness changed with the bus lost", ready=not self._left)

    def _move(self) -> None:
        if not self._lifecycle.open:
            return
        if self._lost_at is not None and self.bus_seen:
            state = State.DEGRADED
        else:
            state = State.SATURATED if self._saturated else State.READY
        if state is not self._lifecycle.state:
            self._lifecycle.move(state)

    def _start_reason(self) -> str:
        if self._lifecycle.state is State.STARTING:
            return "not listening yet"
        return "started" if self._started else "the bus has not been reached yet"

    def _bus_reason(self) -> str:
        if self._lost_at is None:
            return "up"
        if self._left:
            return "lost, and others have it" if self._mode is BusReadiness.AUTO else "lost"
        if not self._told:
            return "lost just now"
        return "lost; ready all the same, for nobody is known to be better off"


def _nobody_to_tell() -> None:
    """Nobody wants to know."""
