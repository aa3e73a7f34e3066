"""Ends the parts of a pod in reverse order of their start; one that fails does not keep the rest from ending."""

from asyncio import CancelledError, current_task
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import structlog

log = structlog.get_logger(__name__)

Close = Callable[[], Awaitable[object] | None]


class Closings:
    """A stack: each part adds how it is closed when it starts, and the last to start is closed first."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    def add(self, part: str, close: Close) -> None:
        """Close `part` with `close()`, which may be a coroutine function. `part` names it in the log."""
        self._stack.push_async_callback(attempt, part, close)

    async def close(self) -> None:
        """Close all parts. Raises nothing; each failure is logged."""
        await self._stack.aclose()


async def attempt(part: str, close: Close) -> None:
    """Run one step of the stop; where it raises, log that and go on.

    A CancelledError counts as such a failure where nothing cancelled the stop: something that the step awaited was
    cancelled.
    """
    try:
        closing = close()
        if closing is not None:
            await closing
    except CancelledError:
        task = current_task()
        if task is None or task.cancelling():
            raise
        log.exception("a part did not stop", part=part)
    except Exception:
        log.exception("a part did not stop", part=part)
