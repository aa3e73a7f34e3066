"""A circuit breaker: stops asking a receiver that fails again and again, and tries one question after a rest.

What one user sends must not stop the questions of others. So a failure that the question itself may have caused counts
once for each user. And no failure counts where another question was answered meanwhile: then the receiver works.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

THRESHOLD: Final = 5
"""Failures in a row after which nothing is asked."""

FIRST_REST: Final = 1.0
LONGEST_REST: Final = 10.0
"""Seconds without a question: the first time, and at most. Each trial that fails doubles them. A random part of up to
a half is left out, so that pods do not try together."""


class State(Enum):
    CLOSED = "closed"
    """Questions are asked."""
    OPEN = "open"
    """Questions are not asked until the rest is over."""
    HALF_OPEN = "half_open"
    """One question is under way as a trial, and no other is asked."""


_MOVES: Final = {
    State.CLOSED: {State.OPEN},
    State.OPEN: {State.HALF_OPEN},
    State.HALF_OPEN: {State.CLOSED, State.OPEN},
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A question that may be asked. Exactly one of the methods `answered`, `failed` and `given_up` takes it."""

    started: float
    answers: int
    """How many questions were answered before."""
    trial: bool


class Breaker:
    """The breaker for one kind of question."""

    def __init__(self, clock: Callable[[], float], uniform: Callable[[float, float], float]) -> None:
        """`clock`: monotonic seconds. `uniform`: draws a random number between two bounds."""
        self._clock = clock
        self._uniform = uniform
        self._state = State.CLOSED
        self._answers = 0
        self._row: set[object] = set()
        """The failures since the last answer: the user of each one, or an object of its own."""
        self._rests = 0
        self._rest_until = 0.0

    @property
    def state(self) -> State:
        return self._state

    def begin(self) -> Attempt | None:
        """Return leave to ask one question; None where it must not be asked now."""
        now = self._clock()
        if self._state is State.OPEN and now >= self._rest_until:
            self._move(State.HALF_OPEN)
            return Attempt(now, self._answers, trial=True)
        return Attempt(now, self._answers, trial=False) if self._state is State.CLOSED else None

    def answered(self, attempt: Attempt) -> None:
        """The receiver answered."""
        self._answers += 1
        self._row.clear()
        if attempt.trial:
            self._rests = 0
            self._move(State.CLOSED)

    def failed(self, attempt: Attempt, user: str | None = None) -> bool:
        """There is no answer. `user`: whose question it was, where the question itself may be the cause.

        Returns whether the breaker is open because of this failure, and was closed before.
        """
        if attempt.trial:
            self._open()
        elif self._state is State.CLOSED and attempt.answers == self._answers:
            self._row.add(object() if user is None else user)
            if len(self._row) >= THRESHOLD:
                self._open()
                return True
        return False

    def given_up(self, attempt: Attempt, patience: float) -> bool:
        """Nobody waits for the answer any more. After `patience` seconds this is a failure, and as `failed`."""
        if self._clock() - attempt.started >= patience:
            return self.failed(attempt)
        if attempt.trial:
            # It says nothing. The next question is the trial.
            self._move(State.OPEN)
        return False

    def _open(self) -> None:
        bound = min(LONGEST_REST, FIRST_REST * 2.0 ** min(self._rests, 10))
        self._rests += 1
        self._row.clear()
        self._rest_until = self._clock() + self._uniform(bound / 2, bound)
        self._move(State.OPEN)

    def _move(self, to: State) -> None:
        """An illegal move is a bug and raises RuntimeError."""
        if to not in _MOVES[self._state]:
            raise RuntimeError(f"a breaker that is {self._state.value} cannot become {to.value}")
        self._state = to
