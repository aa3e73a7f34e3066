"""Tries a test again whose subject is time, where it failed and the machine stood still meanwhile.

A virtual machine may stand still for half a second, and set its clock. A test that counts in tenths of seconds says
nothing then. On a machine that ran evenly its first failure counts.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec

import structlog

from tests.support.gateway import close_clients

P = ParamSpec("P")

log = structlog.get_logger(__name__)

UNEVEN: Final = 0.15
"""Seconds for which the loop of a test did not run, or by which the wall clock moved against the other one."""

_STEP: Final = 0.02


class _Watch:
    """Measures how unevenly time passed."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._looked = time.monotonic()
        self._offset = time.time() - self._looked

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_STEP)
            self._longest, self._looked = self.longest(), time.monotonic()

    def longest(self) -> float:
        """The longest pause, or the step of the wall clock where that was longer. In seconds."""
        now, wall = time.monotonic(), time.time()
        return max(self._longest, now - self._looked - _STEP, abs(wall - now - self._offset))


def again_if_uneven(attempts: int) -> Callable[[Callable[P, Awaitable[None]]], Callable[P, Awaitable[None]]]:
    """Run a test so often at most. It must be able to begin anew with the fixtures that it has."""

    def decorate(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        @functools.wraps(test)
        async def run(*args: P.args, **kwargs: P.kwargs) -> None:
            for left in reversed(range(attempts)):
                watch = _Watch()
                watching = asyncio.create_task(watch.run())
                try:
                    await test(*args, **kwargs)
                except Exception as error:
                    if not left or watch.longest() < UNEVEN:
                        raise
                    log.warning("tried again on an uneven machine", seconds=watch.longest(), error=repr(error))
                else:
                    return
                finally:
                    watching.cancel()
                await close_clients()

        return run

    return decorate
