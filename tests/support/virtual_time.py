"""A loop whose time passes only while all tasks wait: an hour takes a moment and is exactly an hour.

For code that waits for time only. A socket or a thread would get no real time to answer.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")


class _TimeSkippingSelector(selectors.SelectSelector):
    """Instead of waiting for the next timer, moves the time to it."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("all tasks wait, and none of them for a time")
        self.skipped += timeout
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._skipping = _TimeSkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        # Independent of the machine's clock, so that a busy machine changes nothing.
        return self._skipping.skipped

    def stall(self, seconds: float) -> None:
        self._skipping.skipped += seconds


def virtual(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs a test on such a loop."""

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
