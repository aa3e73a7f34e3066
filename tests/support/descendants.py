"""Ends every process that a run has started, also one that has left its parent and its session, as daemons do."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_SET_CHILD_SUBREAPER: Final = 36
"""PR_SET_CHILD_SUBREAPER of Linux: a process whose parent has ended becomes a child of this one."""


@contextmanager
def nothing_left() -> Iterator[None]:
    """For a program that starts others: none of them outlives it, also after a failure, Ctrl-C, SIGTERM or SIGHUP.

    It exits with 130 where a signal ends it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        end_descendants()


def end_descendants() -> None:
    """Kill all processes below this one, and wait until they have ended. Outside Linux it finds none."""
    while found := _below(os.getpid()):
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for process in found:
            # Those of others become ours when their parent has ended.
            with suppress(ChildProcessError):
                os.waitpid(process, 0)


def _below(process: int) -> list[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The second field is a name in brackets, which may have spaces.
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    found, above = [], {process}
    while above := {child for child, parent in parents.items() if parent in above}:
        found += sorted(above)
    return found
