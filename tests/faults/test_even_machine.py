"""A test whose subject is time is tried again on a machine that stands still, and on no other one."""

import time

import pytest

from tests.support.even_machine import UNEVEN, again_if_uneven


async def test_a_failure_counts_on_a_machine_that_ran_evenly() -> None:
    """It is tried again only where the loop did not run for long, and so often at most."""
    pauses: list[float] = []

    @again_if_uneven(3)
    async def fails_after(seconds: float, times: int) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - the loop stands still
        pauses.append(seconds)
        assert len(pauses) > times

    await fails_after(2 * UNEVEN, 2)
    assert len(pauses) == 3
    pauses.clear()
    with pytest.raises(AssertionError):
        await fails_after(2 * UNEVEN, 3)
    assert len(pauses) == 3
    # This machine may stand still just now, and does not do so each time.
    for _ in range(20):
        pauses.clear()
        with pytest.raises(AssertionError):
            await fails_after(0.0, 3)
        if len(pauses) == 1:
            break
    assert len(pauses) == 1
