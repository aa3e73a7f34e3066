"""What the kernel knows of this process, asked in a few microseconds: its CPU, its memory, its files, its start.

The names and meanings are those that Prometheus' clients agree on. Their Python client lists every open file to count
them, which takes longer than all the rest of a scrape where each connection is one.
"""

import os
import resource
import time
from typing import NamedTuple

_PAGE = resource.getpagesize()


class Memory(NamedTuple):
    """Bytes."""

    virtual: int
    resident: int


def cpu_seconds() -> float:
    return time.process_time()


def memory() -> Memory | None:
    """None where there is no /proc."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a Path costs more than the reading
            virtual, resident, *_ = file.read().split()
    except OSError:
        return None
    return Memory(int(virtual) * _PAGE, int(resident) * _PAGE)


def open_files() -> int | None:
    """None where there is no /proc."""
    try:
        # Since Linux 6.2 it says how many there are; before it says 0, and they have to be listed.
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))  # noqa: PTH116, PTH208 - the same
    except OSError:
        return None


def most_files() -> float:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft == resource.RLIM_INFINITY else float(soft)


def started_at() -> float | None:
    """Unix seconds; None where there is no /proc."""
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - the same
            # Behind the name, which may hold anything, from the third field on.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
