"""Deferred work runs in order, with a full batch or after a moment."""

import asyncio
from functools import partial

from forestay.ops.tracing.postponed import Postponed


async def test_a_full_batch_runs_at_once() -> None:
    """Work waits until a batch is full; then all of it runs at once and in order."""
    done: list[int] = []
    postponed = Postponed(asyncio.get_running_loop())
    added = 0
    while not done:
        assert added < 1000
        postponed.add(partial(done.append, added))
        added += 1
    assert added > 1
    assert done == list(range(added))


async def test_an_incomplete_batch_runs_after_a_moment() -> None:
    """Work of an incomplete batch runs after a moment, so that a quiet pod's spans are made too."""
    ran = asyncio.Event()
    Postponed(asyncio.get_running_loop()).add(ran.set)
    async with asyncio.timeout(10):
        await ran.wait()


async def test_run_now_runs_all_work_once() -> None:
    """`run_now` runs all queued work immediately, and only once."""
    done: list[str] = []
    postponed = Postponed(asyncio.get_running_loop())
    postponed.add(partial(done.append, "once"))
    postponed.run_now()
    postponed.run_now()
    assert done == ["once"]
