"""Writes to many WebSockets at once in a thread, so that the loop serves others meanwhile.

A write to a socket takes the kernel several microseconds, and a large room has a thousand of them. The thread makes
them in C and does not hold the interpreter, so it runs beside the loop. Each socket is held as long: what else is
written to it waits, and it is not closed before its own write is made or cancelled. Else the thread could write to the
file descriptor of another client, which got the number next.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import structlog

from forestay.core.ports.group_writer import Group
from forestay.edge.websocket.websocket import ClientSocket, Hold

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

    def write(self, group: Group, written: Callable[[float], None]) -> None:
        """See GroupWriter.write."""
        held: list[ClientSocket] = []
        descriptors: list[int] = []
        parts: list[bytes] = []
        for transport, data in zip(group.transports, group.buffers, strict=True):
            # What waits in a buffer goes first, so the transport writes this too.
            if isinstance(transport, ClientSocket) and not transport.buffered():
                held.append(transport)
                descriptors.append(transport.descriptor())
                parts.append(data)
            else:
                transport.write(data)
        if len(held) < _FEWEST:
            for socket, data in zip(held, parts, strict=True):
                socket.write(data)
            written(0.0)
            return
        writes = Writes(descriptors, parts)
        for entry, socket in enumerate(held):
            socket.hold(Hold(writes, entry, len(parts[entry])))
        try:
            running = self._loop.run_in_executor(self._thread, _run, writes)
        except RuntimeError:
            log.exception("no thread could be started for writes to a group of clients: the loop makes them")
            for entry in range(len(held)):
                # The thread may come later.
                writes.cancel(entry)
            _release(held, parts, writes)
            written(0.0)
            return
        running.add_done_callback(partial(_finish, held, parts, writes, written))


def _finish(
    held: list[ClientSocket],
    parts: list[bytes],
    writes: "Writes",
    written: Callable[[float], None],
    done: "asyncio.Future[float]",
) -> None:
    """The thread is through with `writes`."""
    seconds = 0.0
    try:
        seconds = done.result()
    except Exception:
        log.exception("a bug ended writes to a group of clients")
    _release(held, parts, writes)
    written(seconds)


def _release(held: list[ClientSocket], parts: list[bytes], writes: "Writes") -> None:
    """Let the sockets go. Each writes what is not sent of its part."""
    unsent = dict(writes.unsent())
    for entry, socket in enumerate(held):
        socket.release(parts[entry][unsent[entry] :] if entry in unsent else b"")


def _run(writes: "Writes") -> float:
    """Make the writes. How many seconds they took."""
    started = time.perf_counter()
    writes.run()
    return time.perf_counter() - started
