"""The Tasks port: runs work in the background and reports what fails."""

from asyncio import Task
from collections.abc import Callable, Coroutine
from typing import Protocol


class Tasks(Protocol):
    """Runs tasks by name. A failure is logged with its traceback, counted by name, and makes the pod not ready.

    A name comes from a closed set, because it is the label of a metric. Cancelling the returned task ends the work;
    that is not a failure.
    """

    def keep(
        self, name: str, work: Callable[[], Coroutine[object, object, None]], *, restart: bool = True
    ) -> Task[None]:
        """Run `work()` until it is cancelled. Both an exception and a return are failures.

        `restart`: call `work` again after a failure, with back-off. The work must be safe to start again.
        """

    def once(self, name: str, work: Coroutine[object, object, None]) -> Task[None]:
        """Run `work` to its end. Only an exception is a failure."""
