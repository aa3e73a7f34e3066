"""Writes Kubernetes Events about this pod, rarely and without making callers wait.

There is at most one write a minute for each reason. What happens in between is counted. The next write adds the count
to the existing event (the API calls that a series), or makes a new event where the series has ended.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import structlog

from forestay.core.ports.tasks import Tasks
from forestay.ops.kubernetes.unanswered import Unanswered

log = structlog.get_logger(__name__)

PAUSE: Final = 60.0
"""Seconds between two writes about one reason."""

SERIES: Final = 1800.0
"""Seconds without a write after which a series has ended: half the time for which API servers keep events."""


class Reason(StrEnum):
    """The reasons of our events; `kubectl get events` shows the values."""

    DRAIN_STARTED = "DrainStarted"
    BUS_DEGRADED = "BusDegraded"
    REBALANCE_SHED = "RebalanceShed"


@dataclass(frozen=True, slots=True)
class Occurrence:
    reason: Reason
    note: str
    """The newest one, where it happened several times."""
    warning: bool
    count: int
    """How often it happened."""


class Journal(Protocol):
    """The place where the events of our pod are written."""

    async def create(self, occurrence: Occurrence) -> str:
        """Write a new event and return its name. Raises Unanswered."""

    async def repeat(self, name: str, count: int) -> bool:
        """Set the count of an event. Returns False where the event is gone. Raises Unanswered."""


@dataclass(slots=True)
class _Series:
    """What has been written for one reason."""

    name: str = ""
    """The name of the event; empty where the next write makes a new one."""
    count: int = 0
    written: float = float("-inf")
    """Loop time of the last attempt."""


# The type of an event cannot change later, so a warning and a note are two series.
_Key = tuple[Reason, bool]


class Events:
    """Holds at most one unwritten occurrence for each reason."""

    def __init__(self, journal: Journal, tasks: Tasks, count_fault: Callable[[str], None]) -> None:
        """`count_fault`: called with the value of a Cause for each write that failed."""
        self._loop = asyncio.get_running_loop()
        self._journal = journal
        self._tasks = tasks
        self._count_fault = count_fault
        self._held: dict[_Key, Occurrence] = {}
        self._series: dict[_Key, _Series] = {}
        self._news = asyncio.Event()
        self._closing = False
        self._all_written = asyncio.Event()
        """Set when the events are closing and nothing is held."""
        self._failed = False
        """Whether the last write failed. Failures in a row are logged once."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._tasks.keep("kubernetes_events", self._keep)

    def record(self, reason: Reason, note: str, *, warning: bool = False) -> None:
        """Note that something happened. Never waits and never raises. Does nothing after `close`."""
        if self._closing:
            return
        key = reason, warning
        before = self._held.get(key)
        self._held[key] = Occurrence(reason, note, warning, 1 + (before.count if before else 0))
        self._news.set()

    async def close(self, seconds: float) -> None:
        """Write what is held, without the pause between writes, for at most `seconds`."""
        self._closing = True
        self._news.set()
        if self._task is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self._all_written.wait()
            except TimeoutError:
                pass
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep(self) -> None:
        """Write what is due, until cancelled."""
        while True:
            key = min(self._held, key=self._due, default=None)
            if key is not None and (self._closing or self._due(key) <= self._loop.time()):
                await self._write(key)
                continue
            if self._closing:
                self._all_written.set()
            self._news.clear()
            try:
                async with asyncio.timeout_at(None if key is None else self._due(key)):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _due(self, key: _Key) -> float:
        """Return the loop time from which on it may be written."""
        return self._series[key].written + PAUSE if key in self._series else float("-inf")

    async def _write(self, key: _Key) -> None:
        """Try once to write. A failed write is not repeated, but the count of a series includes it."""
        occurrence = self._held.pop(key)
        series = self._series.setdefault(key, _Series())
        now = self._loop.time()
        if now - series.written > SERIES:
            series.name = ""
        series.written = now
        series.count = occurrence.count + (series.count if series.name else 0)
        try:
            if not series.name or not await self._journal.repeat(series.name, series.count):
                series.name, series.count = "", occurrence.count
                series.name = await self._journal.create(occurrence)
        except Unanswered as error:
            self._count_fault(error.cause)
            if not self._failed:
                log.warning("the cluster does not accept events", cause=error.cause.value, reason=str(error))
            self._failed = True
        else:
            self._failed = False
