"""Writes to many WebSockets at once in a thread, so that the loop serves others meanwhile.

A write to a socket takes the kernel several microseconds, and a large room has a thousand of them. The thread makes
them in C and does not hold the interpreter, so it runs beside the loop. Each socket is held as long: what else is
written to it waits, and it is not closed before its own write is made or cancelled. Else the thread could write to the
file descriptor of another client, which got the number next.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, cast

import structlog

from forestay.core.ports.group_writer import Group

try:
    from forestay.speedups import Writes
except ImportError:
    Writes = None  # type: ignore[assignment, misc]

log = structlog.get_logger(__name__)

# Writes from which on the way to the thread and back costs less than it saves.
_FEWEST: Final = 64


def group_writer() -> "GroupWrites | None":
    """The GroupWriter of this pod; None where `forestay.speedups` is not there."""
    return None if Writes is None else GroupWrites()


class GroupWrites:
    """The GroupWriter of a pod whose `forestay.speedups` is there."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # The writes of one thread come in the order in which they were handed in.
        self._thread = ThreadPoolExecutor(1, "group-writes")

    def write(self, group: Group, written: Callable[[float], None]) -> Sequence[int]:
        """See GroupWriter.write."""
        writes = Writes(cast(list[object], group.transports), group.buffers)
        running = self._begin(writes) if writes.count >= _FEWEST else None
        if running is None:
            seconds = _run(writes)
            writes.release()
            written(seconds)
        else:
            running.add_done_callback(partial(_finish, writes, written))
        return writes.left

    def _begin(self, writes: "Writes") -> "asyncio.Future[float] | None":
        """Let the thread make the writes. None where there can be none."""
        try:
            return self._loop.run_in_executor(self._thread, _run, writes)
        except RuntimeError:
            # The thread may come later, and finds nothing to do then.
            log.exception("no thread could be started for writes to a group of clients: the loop makes them")
            return None


def _finish(writes: "Writes", written: Callable[[float], None], done: "asyncio.Future[float]") -> None:
    """The thread is through with `writes`."""
    seconds = 0.0
    try:
        seconds = done.result()
    except Exception:
        log.exception("a bug ended writes to a group of clients")
    writes.release()
    written(seconds)


def _run(writes: "Writes") -> float:
    """Make the writes. How many seconds they took."""
    started = time.perf_counter()
    writes.run()
    return time.perf_counter() - started
