"""Runs the pod's background tasks: logs and counts each failure, restarts the task, and reports it to readiness."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from functools import partial
from typing import Final

import structlog

from forestay.core.ports.tasks import NAMES, TaskName

log = structlog.get_logger(__name__)

SHORTEST_REST: Final = 1.0
LONGEST_REST: Final = 60.0
"""Seconds before a restart. Each rest is drawn between zero and a bound, which doubles from the first value to the
second. So pods that fail for a common reason do not restart together."""

STABLE: Final = 30.0
"""Seconds that a restarted task must run before it counts as healthy. A task that acts at intervals acts at least every
10 s, so it has acted more than once by then; the others act at their start. After a failure of `once`, the pod is not
ready for the same time."""

Work = Callable[[], Coroutine[object, object, None]]


class Supervisor:
    """The Tasks of one pod. It needs no loop until the first task starts.

    It restarts tasks without a limit. To give up would mean to end the pod, and the connections that it still serves.
    """

    def __init__(self, rng: Callable[[float, float], float]) -> None:
        """`rng`: returns a random number between two numbers."""
        self._rng = rng
        # The loop holds tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing: dict[object, TaskName] = {}
        """The name of each task that has failed and is not yet healthy again, by a key of its own."""
        self._failures: dict[str, int] = dict.fromkeys(NAMES, 0)

    @property
    def failures(self) -> Mapping[str, int]:
        """How often tasks of each name have failed. All names are in it from the start."""
        return self._failures

    @property
    def failing(self) -> Sequence[TaskName]:
        """The names of the tasks that have failed and are not yet healthy again, sorted."""
        return sorted(set(self._failing.values()))

    def keep(self, name: TaskName, work: Work, *, restart: bool = True) -> asyncio.Task[None]:
        return self._start(name, self._keep(name, work, restart=restart))

    def once(self, name: TaskName, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = self._start(name, work)
        task.add_done_callback(partial(self._ended, name))
        return task

    async def close(self) -> None:
        """Cancel every task that still runs, and wait for its end."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)

    def _start(self, name: TaskName, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _keep(self, name: TaskName, work: Work, *, restart: bool) -> None:
        loop, key, bound = asyncio.get_running_loop(), object(), SHORTEST_REST
        try:
            while True:
                started = loop.time()
                healthy = loop.call_later(STABLE, self._recovered, key)
                error = await _failure_of(work)
                healthy.cancel()
                if error is None:
                    return
                if loop.time() - started >= STABLE:
                    bound = SHORTEST_REST
                rest = self._rng(0, bound) if restart and not _is_cancelled() else None
                self._failed(key, name, error, rest)
                if rest is None:
                    return
                bound = min(LONGEST_REST, bound * 2)
                await asyncio.sleep(rest)
        finally:
            if _is_cancelled():
                healthy.cancel()
                self._failing.pop(key, None)

    def _ended(self, name: TaskName, task: asyncio.Task[None]) -> None:
        """A task of `once` has ended."""
        error: BaseException | None = asyncio.CancelledError()
        if not task.cancelled():
            error = task.exception()
        elif task.cancelling():
            return
        if error is not None:
            self._failed(task, name, error, None)
            task.get_loop().call_later(STABLE, self._recovered, task)

    def _failed(self, key: object, name: TaskName, error: BaseException, rest: float | None) -> None:
        self._failing[key] = name
        self._failures[name] += 1
        log.error("a task failed", task=name, restart_in=None if rest is None else round(rest, 1), exc_info=error)

    def _recovered(self, key: object) -> None:
        name = self._failing.pop(key, None)
        if name is not None:
            log.info("a task is healthy again", task=name)


async def _failure_of(work: Work) -> BaseException | None:
    """Run `work` to its end. Returns why that is a failure, or None where it returned because it was cancelled."""
    try:
        await work()
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        # Nothing asked this task to end: a future that the work awaited was cancelled.
        return error
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - also the panics of libraries in Rust; the caller logs it
        return error
    return None if _is_cancelled() else RuntimeError("it returned, and should run until it is cancelled")


def _is_cancelled() -> bool:
    """Whether the current task was asked to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
