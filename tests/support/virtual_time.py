"""A loop on which time passes only while everybody waits for it: an hour takes a moment, and exactly an hour.

For code that waits for nothing but time: a socket or a thread would be given no time to answer.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class _Skipping(selectors.SelectSelector):
    """Where the loop would wait for its next timer, it is that time."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits, and nobody for a time")
        self.skipped += timeout
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        # Without the machine's clock: otherwise a test would be as exact as the machine is idle.
        return self._skipping.skipped

    def stall(self, seconds: float) -> None:
        self._skipping.skipped += seconds


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on such a loop."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(test(*args, **kwargs))

    return run


def stall(seconds: float) -> None:
    """Let time pass while the loop of the test is busy."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _Loop)
    loop.stall(seconds)
