"""Writes finished log lines from a thread of its own, so that a full pipe delays no message.

What reads the pipe may stand still, or its disk may be full. Then lines wait here, up to a limit. Those beyond it are
dropped and counted. Lines that cannot be written, because the pipe is closed, are dropped and counted too.
"""

import logging
import os
import select
import threading
import time
from collections import deque
from typing import Final

import structlog

log = structlog.get_logger(__name__)

MOST_WAITING: Final = 2**20
"""Bytes of lines that may wait to be written."""
_BATCH: Final = 65536
"""Bytes after which a write begins, although more lines wait."""
_EXIT_WAIT: Final = 1.0
"""Seconds that the exit waits for lines that are not written yet."""


class LineWriter:
    """Lines for one file descriptor. `write` never waits."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self.dropped = 0
        """Lines that were not written, and will not be."""
        # A daemon: a pipe that nobody reads must not hold the process back at its exit.
        threading.Thread(target=self._run, name="log lines", daemon=True).start()

    def write(self, line: bytes) -> None:
        """Write `line` soon, or drop it where too many wait."""
        with self._changed:
            if self._waiting + len(line) > MOST_WAITING:
                self.dropped += 1
                return
            self._lines.append(line)
            self._waiting += len(line)
            self._changed.notify_all()

    @property
    def caught_up(self) -> bool:
        """Whether no line waits."""
        return not self._waiting

    def flush(self, seconds: float) -> None:
        """Wait until every line is written, at most `seconds`."""
        until = time.monotonic() + seconds
        with self._changed:
            while self._waiting and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines:
                    self._changed.wait()
                batch = [self._lines.popleft()]
                size = len(batch[0])
                while self._lines and size < _BATCH:
                    batch.append(self._lines.popleft())
                    size += len(batch[-1])
            written = self._written(b"".join(batch))
            with self._changed:
                self._waiting -= size
                if not written:
                    self.dropped += len(batch)
                self._changed.notify_all()

    def _written(self, data: bytes) -> bool:
        """Write all of `data`, however long that takes. False where it cannot be written."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                # Another process that shares the descriptor has made it non-blocking.
                writable = select.poll()
                writable.register(self._descriptor, select.POLLOUT)
                writable.poll()
            except OSError:
                return False
        return True


class LineHandler(logging.Handler):
    """Formats each record where it is logged, and gives the line to a LineWriter."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._writer = LineWriter(descriptor)
        self._reported = 0

    @property
    def dropped(self) -> int:
        """Lines that were not written, and will not be."""
        return self._writer.dropped

    def emit(self, record: logging.LogRecord) -> None:
        missing = self._writer.dropped - self._reported
        if missing and self._writer.caught_up:
            self._reported += missing
            log.warning("log lines dropped", count=missing)
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a bug in a line; the work that logs it goes on
            self.handleError(record)
        else:
            self._writer.write(line.encode("utf-8", "backslashreplace") + b"\n")

    def flush(self) -> None:
        """Wait a moment until all lines are written. The standard library calls it at the exit."""
        self._writer.flush(_EXIT_WAIT)
