"""An event loop whose clock jumps to the next thing that is due instead of waiting for it.

What takes half an hour takes milliseconds, in the same order. Nothing that waits for the world outside may run in it.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

Result = TypeVar("Result")


class _NoWait(selectors.DefaultSelector):
    """Tells how long the loop would have slept."""

    def __init__(self) -> None:
        super().__init__()
        self.slept = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout:
            self.slept += timeout
        elif timeout is None:
            raise RuntimeError("everybody waits for something that will never happen")
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._no_wait = _NoWait()
        super().__init__(self._no_wait)

    def time(self) -> float:
        return self._no_wait.slept


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run` in virtual time, which starts at 0."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(coroutine)


def in_virtual_time(test: Callable[[], Coroutine[object, object, None]]) -> Callable[[], None]:
    """The same test on a clock that does not wait."""

    @wraps(test)
    def running() -> None:
        run(test())

    del running.__wrapped__
    return running
