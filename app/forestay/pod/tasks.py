"""Runs the pod's background tasks: logs each failure and starts the task again."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context

import structlog

log = structlog.get_logger(__name__)

Work = Callable[[], Coroutine[object, object, None]]


class Supervisor:
    """The Tasks of one pod. It needs no loop until the first task starts."""

    def __init__(self, rng: Callable[[float, float], float]) -> None:
        """`rng`: returns a random number between two numbers."""
        self._rng = rng

    def keep(self, name: str, work: Work, *, restart: bool = True) -> asyncio.Task[None]:
        return self.once(name, self._keep(name, work, restart=restart))

    def once(self, name: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name=name, context=Context())

    async def _keep(self, name: str, work: Work, *, restart: bool) -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("a task failed", task=name)
            if not restart:
                return
            await asyncio.sleep(self._rng(0, 1))
