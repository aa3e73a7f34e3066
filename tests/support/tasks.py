"""Runs tasks on the loop of a test, and keeps their failures for the test to look at."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import NamedTuple

# Seconds before work that failed is started again. A failure that repeats must not keep the loop busy.
_RESTART_AFTER = 0.01


class TaskFailure(NamedTuple):
    """A task that ended, with its exception; None if the work of `keep` returned."""

    name: str
    error: Exception | None


class PlainTasks:
    """The Tasks port without logs and metrics."""

    def __init__(self) -> None:
        self.failures: list[TaskFailure] = []

    def keep(
        self, name: str, work: Callable[[], Coroutine[object, object, None]], *, restart: bool = True
    ) -> asyncio.Task[None]:
        return _start(name, self._keep(name, work, restart=restart))

    def once(self, name: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        return _start(name, self._once(name, work))

    async def _keep(self, name: str, work: Callable[[], Coroutine[object, object, None]], *, restart: bool) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - the test decides whether it was expected
                self.failures.append(TaskFailure(name, error))
            else:
                self.failures.append(TaskFailure(name, None))
            if not restart:
                return
            await asyncio.sleep(_RESTART_AFTER)

    async def _once(self, name: str, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - as above
            self.failures.append(TaskFailure(name, error))


def _start(name: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    """Start `work` in an empty context, as the port promises."""
    return asyncio.get_running_loop().create_task(work, name=name, context=Context())
