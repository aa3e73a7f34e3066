"""The supervisor of background tasks, on a virtual clock."""

import asyncio
import contextvars
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from forestay.pod.tasks import LONGEST_REST, STABLE, Supervisor
from tests.support.virtual_time import virtual

Work = Callable[[], Coroutine[Any, Any, None]]


def highest(low: float, high: float) -> float:
    return high


class Failing:
    """Work that raises after each of `lives` seconds, and then runs on."""

    def __init__(self, *lives: float) -> None:
        self.lives = list(lives)
        self.starts: list[float] = []

    async def __call__(self) -> None:
        self.starts.append(asyncio.get_running_loop().time())
        if not self.lives:
            await asyncio.sleep(math.inf)
        await asyncio.sleep(self.lives.pop(0))
        raise ZeroDivisionError("a bug")


async def returns() -> None:
    """Work that ends where it should not."""


async def is_cancelled_from_within() -> None:
    """Work that awaits a future which somebody else cancels."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@virtual
async def test_a_failed_task_is_logged_counted_and_started_again() -> None:
    """The log line has the traceback and the rest; the pod trusts the task again after it ran for STABLE seconds."""
    tasks, work = Supervisor(highest), Failing(10)
    with capture_logs() as log:
        tasks.keep("heartbeat", work)
        await asyncio.sleep(10.5)
        assert (tasks.failing, tasks.failures["heartbeat"], tasks.failures["balance"]) == (["heartbeat"], 1, 0)
        await asyncio.sleep(STABLE)
        assert tasks.failing == ["heartbeat"]
        await asyncio.sleep(1)
        assert tasks.failing == []
    assert work.starts == [0, 11]
    failed, healthy = log
    assert (failed["event"], failed["task"], failed["restart_in"]) == ("a task failed", "heartbeat", 1.0)
    assert isinstance(failed["exc_info"], ZeroDivisionError)
    assert failed["exc_info"].__traceback__ is not None
    assert (healthy["event"], healthy["task"]) == ("a task is healthy again", "heartbeat")
    await tasks.close()


class Panic(BaseException):
    """What a library in Rust raises; it is no Exception."""


@virtual
async def test_a_panic_of_a_library_is_a_failure_too() -> None:
    """The task is started again, and the pod is not ready meanwhile."""
    starts: list[float] = []

    async def panics() -> None:
        starts.append(asyncio.get_running_loop().time())
        raise Panic

    tasks = Supervisor(highest)
    tasks.keep("jwks_renewal", panics)
    await asyncio.sleep(2)
    assert (starts, tasks.failing, tasks.failures["jwks_renewal"]) == ([0, 1], ["jwks_renewal"], 2)
    await tasks.close()


@virtual
async def test_rests_double_up_to_a_cap() -> None:
    """A task that lived for STABLE seconds begins with a short rest again."""
    tasks, work = Supervisor(highest), Failing(*[0.0] * 9, STABLE, 0.0)
    tasks.keep("balance", work)
    await asyncio.sleep(1000)
    rests = [later - earlier for earlier, later in zip(work.starts, work.starts[1:], strict=False)]
    assert rests[:9] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert rests[9:] == [STABLE + 1, 2]
    assert max(rests[:9]) == LONGEST_REST
    await tasks.close()


@virtual
async def test_rests_are_drawn() -> None:
    """Pods that fail together do not restart together."""
    tasks, work = Supervisor(lambda low, high: (low + high) / 4), Failing(0, 0)
    tasks.keep("balance", work)
    await asyncio.sleep(10)
    assert work.starts == [0, 0.25, 0.75]
    await tasks.close()


@pytest.mark.parametrize("work", [returns, is_cancelled_from_within])
def test_an_end_without_an_exception_is_a_failure(work: Work) -> None:
    """A return is one, and so is a CancelledError when nothing cancelled the task."""

    @virtual
    async def story() -> None:
        tasks = Supervisor(highest)
        with capture_logs() as log:
            tasks.keep("readiness", work)
            await asyncio.sleep(0.5)
        assert tasks.failures["readiness"] == 1
        assert [line["event"] for line in log] == ["a task failed"]
        await tasks.close()

    story()


@virtual
async def test_a_cancelled_task_is_no_failure() -> None:
    """Not while it runs, during a rest, or before its first step. An earlier failure is forgotten with the task."""
    tasks = Supervisor(highest)
    with capture_logs() as log:
        runs, rests = tasks.keep("redis_link", Failing()), tasks.keep("redis_link", Failing(0.0, 0.0))
        await asyncio.sleep(2)
        fresh = tasks.keep("redis_link", Failing())
        finite = tasks.once("jwks_renewal", asyncio.sleep(1000))
        unstarted = tasks.once("jwks_renewal", asyncio.sleep(1000))
        unstarted.cancel()
        assert tasks.failing == ["redis_link"]
        for task in (runs, rests, fresh, finite):
            task.cancel()
        await asyncio.wait([runs, rests, fresh, finite, unstarted])
    assert tasks.failing == []
    assert len(log) == tasks.failures["redis_link"] == 2
    assert tasks.failures["jwks_renewal"] == 0


@virtual
async def test_work_that_raises_while_it_is_cancelled_is_not_started_again() -> None:
    """It is logged and counted, because it is a bug, but the pod does not need it."""

    async def clumsy() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise ZeroDivisionError

    tasks = Supervisor(highest)
    tasks.keep("balance", clumsy)
    await asyncio.sleep(1)
    await tasks.close()
    assert (tasks.failing, tasks.failures["balance"]) == ([], 1)


@virtual
async def test_a_task_that_must_not_restart_stays_failed() -> None:
    """It runs once, and the pod stays not ready."""
    tasks, work = Supervisor(highest), Failing(1)
    task = tasks.keep("redis_link", work, restart=False)
    await asyncio.sleep(10_000)
    assert work.starts == [0]
    assert task.done()
    assert tasks.failing == ["redis_link"]


@virtual
async def test_finite_work_that_raises_makes_the_pod_not_ready_for_a_while() -> None:
    """An end without an exception is what finite work is for."""
    tasks = Supervisor(highest)
    tasks.once("jwks_renewal", asyncio.sleep(1))
    with capture_logs() as log:
        for work in (Failing(1), is_cancelled_from_within):
            task = tasks.once("recovery_repair", work())
            await asyncio.wait([task])
            assert tasks.failing == ["recovery_repair"]
            await asyncio.sleep(STABLE + 0.1)
            assert tasks.failing == []
    assert (tasks.failures["recovery_repair"], tasks.failures["jwks_renewal"]) == (2, 0)
    assert [line["event"] for line in log] == ["a task failed", "a task is healthy again"] * 2


@virtual
async def test_tasks_of_one_name_fail_on_their_own() -> None:
    """One that recovers does not hide another that still fails."""
    tasks = Supervisor(highest)
    tasks.keep("redis_link", Failing(0.0))
    tasks.keep("redis_link", Failing(*[20.0] * 10))
    await asyncio.sleep(STABLE + 2)
    assert tasks.failing == ["redis_link"]
    await tasks.close()


@virtual
async def test_work_runs_in_an_empty_context() -> None:
    """What a request put into its context does not follow the work that the request started."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="empty")
    variable.set("of a request")
    seen: list[str] = []

    async def look() -> None:
        seen.append(variable.get())

    tasks = Supervisor(highest)
    await tasks.once("jwks_renewal", look())
    kept = tasks.keep("balance", look)
    await asyncio.sleep(0)
    kept.cancel()
    await asyncio.wait([kept])
    assert seen == ["empty", "empty"]
