"""The states of a pod as one table: from which state to which it may move, and in which it takes connections."""

from enum import Enum
from typing import Final


class State(Enum):
    STARTING = "starting"
    """Not listening yet, or not known to the other pods, which could not ask about connections here."""
    READY = "ready"
    SATURATED = "saturated"
    """Nearly full. New connections should go to other pods, and are accepted while there is capacity."""
    DEGRADED = "degraded"
    """The bus is lost. Connections stay, and new ones are accepted. Messages wait for the bus."""
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
    """The state of this pod. The server, readiness and the drain move it."""

    def __init__(self) -> None:
        self._state = State.STARTING
        self.open = False
        """Whether new connections are accepted."""

    @property
    def state(self) -> State:
        return self._state

    def move(self, to: State) -> None:
        """Move to the state `to`. An illegal move is a bug and raises RuntimeError."""
        if to not in _MOVES[self._state]:
            raise RuntimeError(f"a pod that is {self._state.value} cannot become {to.value}")
        self._state = to
        self.open = to in _SERVING
