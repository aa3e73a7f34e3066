"""What is put off is done, in order, once there is enough of it or after a moment."""

import asyncio
from functools import partial

from forestay.ops.tracing.postponed import Postponed


async def test_it_waits_for_more_of_its_kind() -> None:
    """Little is put off; what makes it enough has all of it done at once."""
    done: list[int] = []
    postponed = Postponed(asyncio.get_running_loop())
    added = 0
    while not done:
        assert added < 1000
        postponed.add(partial(done.append, added))
        added += 1
    assert added > 1
    assert done == list(range(added))


async def test_it_does_not_wait_for_ever() -> None:
    """A quiet pod's spans are made too."""
    over = asyncio.Event()
    Postponed(asyncio.get_running_loop()).add(over.set)
    async with asyncio.timeout(10):
        await over.wait()


async def test_the_end_waits_for_nothing() -> None:
    """And what was done is not done again."""
    done: list[str] = []
    postponed = Postponed(asyncio.get_running_loop())
    postponed.add(partial(done.append, "once"))
    postponed.catch_up()
    postponed.catch_up()
    assert done == ["once"]
