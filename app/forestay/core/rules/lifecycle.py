"""The life of a pod as one table: which state it is in, where it may go from there, and who may come in meanwhile."""

from enum import Enum
from typing import Final


class State(Enum):
    STARTING = "starting"
    READY = "ready"
    SATURATED = "saturated"
    """Nearly full: new connections should go elsewhere, and are let in as long as there is room."""
    DEGRADED = "degraded"
    """The bus is lost: whoever is here stays, and may come, but hears only what the bus will tell later."""
    DRAINING = "draining"
    STOPPED = "stopped"


_SERVING: Final = frozenset({State.READY, State.SATURATED, State.DEGRADED})

_MOVES: Final = {
    State.STARTING: {State.READY, State.DRAINING, State.STOPPED},
    State.READY: {State.SATURATED, State.DEGRADED, State.DRAINING},
    State.SATURATED: {State.READY, State.DEGRADED, State.DRAINING},
    State.DEGRADED: {State.READY, State.SATURATED, State.DRAINING},
    State.DRAINING: {State.STOPPED},
    State.STOPPED: set[State](),
}


class Lifecycle:
    """The pod's state. Many read it; the composition root, the readiness and the drain move it."""

    def __init__(self) -> None:
        self._state = State.STARTING

    @property
    def state(self) -> State:
        return self._state

    @property
    def open(self) -> bool:
        """Whether new connections are let in."""
        return self._state in _SERVING

    def move(self, to: State) -> None:
        """Go to state `to`. An illegal move is a bug of ours and raises RuntimeError."""
        if to not in _MOVES[self._state]:
            raise RuntimeError(f"a pod that is {self._state.value} cannot become {to.value}")
        self._state = to
