"""Reads CPU time, memory, open files and start time of this process from the kernel, in a few microseconds.

Names and meanings are those that Prometheus client libraries agree on. The Python client lists every open file to count
them. Each connection is an open file, so that takes longer than the rest of the scrape.
"""

import os
import resource
import time
from typing import NamedTuple

_PAGE = resource.getpagesize()


class Memory(NamedTuple):
    """Sizes in bytes."""

    virtual: int
    resident: int


def cpu_seconds() -> float:
    return time.process_time()


def memory() -> Memory | None:
    """The memory of this process; None where there is no /proc."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a Path takes longer than the read
            virtual, resident, *_ = file.read().split()
    except OSError:
        return None
    return Memory(int(virtual) * _PAGE, int(resident) * _PAGE)


def open_files() -> int | None:
    """The number of open files; None where there is no /proc."""
    try:
        # Since Linux 6.2 the size is the number of files. Before, it is 0 and the files must be listed.
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))  # noqa: PTH116, PTH208 - the same
    except OSError:
        return None


def max_files() -> float:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft == resource.RLIM_INFINITY else float(soft)


def started_at() -> float | None:
    """The start of this process in Unix seconds; None where there is no /proc."""
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123 - the same
            # Fields from the third on. The process name before them may contain anything, also spaces and brackets.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot
