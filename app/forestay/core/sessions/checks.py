"""Checks many things, each at its own time, with one timer for all of them.

A heap orders them by the time of their next check. A timer for each would cost more memory than the thing itself.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, TypeVar

Subject = TypeVar("Subject")


class _Check(Generic[Subject]):
    """The next check of one subject; empty once the subject is forgotten."""

    __slots__ = ("at", "subject")

    def __init__(self, at: float, subject: Subject) -> None:
        self.at = at
        self.subject: Subject | None = subject

    def __lt__(self, other: "_Check[Subject]") -> bool:
        return self.at < other.at


class Checks(Generic[Subject]):
    """The subjects to check, each with one next check at most. They are told apart by their hash."""

    def __init__(self, loop: AbstractEventLoop, check: Callable[[Subject, float, float], float | None]) -> None:
        """`check(subject, now, late)` does what is due, `late` seconds late, and says when the next check is.

        Times are loop time. None means that there is none. `check` may plan and forget other subjects.
        """
        self._loop = loop
        self._check = check
        self._checks: list[_Check[Subject]] = []
        self._by_subject: dict[Subject, _Check[Subject]] = {}
        self._timer: TimerHandle | None = None
        self._wakes_at = 0.0
        """When the timer goes off. What uvloop returns for a call that is due at once does not say it."""

    def plan(self, subject: Subject, at: float) -> None:
        """Check `subject` at the loop time `at`, and not when it was planned before."""
        earlier = self._by_subject.get(subject)
        if earlier is not None:
            earlier.subject = None
        check = self._by_subject[subject] = _Check(at, subject)
        heappush(self._checks, check)
        if self._timer is None or at < self._wakes_at:
            self._wake_at(at)

    def forget(self, subject: Subject) -> None:
        """Check `subject` no more. Does nothing where no check of it is planned."""
        check = self._by_subject.pop(subject, None)
        if check is not None:
            check.subject = None

    def close(self) -> None:
        """Stop all checks."""
        if self._timer is not None:
            self._timer.cancel()

    def _wake_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._wakes_at = self._loop.call_at(at, self._run), at

    def _run(self) -> None:
        now = self._loop.time()
        self._timer = None
        again: list[_Check[Subject]] = []
        while self._checks and self._checks[0].at <= now:
            check = heappop(self._checks)
            subject = check.subject
            if subject is not None:
                del self._by_subject[subject]
                at = self._check(subject, now, now - check.at)
                if at is not None:
                    self._by_subject[subject] = following = _Check(at, subject)
                    again.append(following)
        # Pushed at the end: a check that is due again at once lets the loop have its turn before.
        for following in again:
            heappush(self._checks, following)
        while self._checks and self._checks[0].subject is None:
            heappop(self._checks)
        if self._checks:
            self._wake_at(self._checks[0].at)
