"""Many things are checked with one timer, each at its own time."""

import asyncio

import pytest

from forestay.core.sessions.checks import Checks
from tests.support.virtual_time import stall, virtual


class Log:
    """Checks that say what was checked when, and how late; the next check of each is as given."""

    def __init__(self, **following: float) -> None:
        """`following`: seconds from a check to the next one, by subject."""
        self.seen: list[tuple[str, float, float]] = []
        self._following = following
        self.checks: Checks[str] = Checks(asyncio.get_running_loop(), self._check)

    def _check(self, subject: str, now: float, late: float) -> float | None:
        self.seen.append((subject, now, late))
        after = self._following.get(subject)
        return None if after is None else now + after


@virtual
async def test_each_is_checked_at_the_time_that_it_said() -> None:
    """Each subject is checked when its last check said, and no more where that said None."""
    log = Log(a=3)
    log.checks.plan("a", 2)
    log.checks.plan("b", 4)
    log.checks.plan("c", 1)
    await asyncio.sleep(8.5)
    assert log.seen == [("c", 1, 0), ("a", 2, 0), ("b", 4, 0), ("a", 5, 0), ("a", 8, 0)]


@virtual
async def test_a_new_plan_replaces_the_old_one() -> None:
    """Only the last plan of a subject counts, earlier or later; what was forgotten is not checked."""
    log = Log()
    for at in (5.0, 2.0, 3.0):
        log.checks.plan("a", at)
    log.checks.plan("b", 1)
    log.checks.forget("b")
    log.checks.forget("b")
    await asyncio.sleep(10)
    assert log.seen == [("a", 3, 0)]
    log.checks.plan("a", 11)
    log.checks.close()
    await asyncio.sleep(10)
    assert len(log.seen) == 1


@virtual
async def test_a_late_check_says_how_late_it_is() -> None:
    """A check that runs after a busy time is told how late it is."""
    log = Log()
    log.checks.plan("a", 2)
    stall(5)
    await asyncio.sleep(0.001)
    assert log.seen == [("a", 5, 3)]


@virtual
async def test_a_check_that_is_due_again_at_once_does_not_hold_the_loop() -> None:
    """A check whose next time is now comes in the next turn of the loop: everybody else has one before."""
    log = Log(a=0)
    log.checks.plan("a", 1)
    await asyncio.sleep(1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert 1 <= len(log.seen) <= 10
    log.checks.close()


@pytest.mark.both_loops
async def test_more_can_be_planned_while_a_check_is_due_at_once() -> None:
    """On a real loop: what uvloop returns for a call that is due does not say when it comes."""
    log, now = Log(), asyncio.get_running_loop().time()
    for subject, at in (("a", now), ("b", now + 0.01), ("c", now - 1)):
        log.checks.plan(subject, at)
    async with asyncio.timeout(10):
        while len(log.seen) < 3:
            await asyncio.sleep(0)
    assert [subject for subject, _, _ in log.seen] == ["c", "a", "b"]
