"""Writes to many WebSockets at once in a thread, so that the loop serves others meanwhile.

A write to a socket takes the kernel several microseconds, and a large room has a thousand of them. The thread is in C
and never holds the interpreter, so it runs beside the loop. Each socket is held as long: what else is written to it
waits, and it is not closed before its own write is made or cancelled. Else the thread could write to the file
descriptor of another client, which got the number next.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

import structlog

from forestay.core.ports.group_writer import Group

try:
    from forestay.speedups import WriterThread, Writes
except ImportError:
    Writes = WriterThread = None  # type: ignore[assignment, misc]

log = structlog.get_logger(__name__)

# Writes from which on the way to the thread and back costs less than it saves.
_FEWEST: Final = 64


class Thread(Protocol):
    """See speedups.WriterThread."""

    def hand_in(self, writes: "Writes", /) -> None: ...
    def take_back(self) -> "list[Writes]": ...
    def fileno(self) -> int: ...
    def stop(self) -> None: ...


def group_writer() -> "GroupWrites | None":
    """The GroupWriter of this pod; None where `forestay.speedups` is not there."""
    return None if Writes is None else GroupWrites(WriterThread())


class GroupWrites:
    """The GroupWriter of a pod whose `forestay.speedups` is there."""

    def __init__(self, thread: Thread) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = thread
        self._under_way: dict[Writes, Callable[[float], None]] = {}
        self._refused = False
        """Whether the last writes found no thread. It is logged once, and not for each message."""
        self._loop.add_reader(thread.fileno(), self._take_back)

    def write(self, group: Group, written: Callable[[float], None]) -> Sequence[int]:
        """See GroupWriter.write."""
        writes = Writes(cast(list[object], group.transports), group.buffers)
        if writes.count >= _FEWEST and self._hand_in(writes):
            self._under_way[writes] = written
        else:
            writes.run()
            writes.release()
            written(writes.seconds)
        return writes.left

    def close(self) -> None:
        """End the thread, once it has made its writes."""
        self._loop.remove_reader(self._thread.fileno())
        self._thread.stop()
        self._take_back()

    def _hand_in(self, writes: "Writes") -> bool:
        """Let the thread make the writes. False where there can be none."""
        try:
            self._thread.hand_in(writes)
        except RuntimeError:
            if not self._refused:
                log.exception("no thread can be started for writes to groups of clients: the loop makes them meanwhile")
            self._refused = True
            return False
        self._refused = False
        return True

    def _take_back(self) -> None:
        """Let the sockets go to which the thread has written."""
        made = self._thread.take_back()
        for writes in made:
            writes.release()
        for writes in made:
            self._under_way.pop(writes)(writes.seconds)
