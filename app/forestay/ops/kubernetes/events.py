"""Says in the cluster's own log what happened to this pod: seldom, without waiting, and only if it can.

Per reason there is at most one write a minute. What happens in between is counted, and the next write adds it to the
event that is there (a series, as the API calls it) or makes a new one where that one is over.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import structlog

from forestay.ops.kubernetes.unanswered import Unanswered

log = structlog.get_logger(__name__)

PAUSE: Final = 60.0
"""Seconds between two writes about one reason."""

SERIES: Final = 1800.0
"""Seconds without a write after which a series is over: half of the time that API servers keep events."""


class Reason(StrEnum):
    """Everything that is told; the values are what `kubectl get events` shows."""

    DRAIN_STARTED = "DrainStarted"
    BUS_DEGRADED = "BusDegraded"
    REBALANCE_SHED = "RebalanceShed"


@dataclass(frozen=True, slots=True)
class Occurrence:
    reason: Reason
    note: str
    """The newest, where there were several."""
    warning: bool
    count: int
    """How often it happened."""


class Journal(Protocol):
    """The events of our pod."""

    async def create(self, occurrence: Occurrence) -> str:
        """Write a new event; its name. Raises Unanswered."""

    async def repeat(self, name: str, count: int) -> bool:
        """The event has by now happened `count` times; False where it is gone. Raises Unanswered."""


@dataclass(slots=True)
class _Series:
    """What was written about one reason."""

    name: str = ""
    """Of the event; empty where the next write makes one."""
    count: int = 0
    written: float = float("-inf")
    """Loop time of the last try."""


# An event's type cannot be changed later, so a warning and a note are two series.
_Key = tuple[Reason, bool]


class Events:
    """Bounded by the reasons there are: what was not written yet is one occurrence for each."""

    def __init__(self, journal: Journal, told: Callable[[str], None]) -> None:
        """`told`: hears of a Cause's value for each write that failed."""
        self._loop = asyncio.get_running_loop()
        self._journal = journal
        self._told = told
        self._held: dict[_Key, Occurrence] = {}
        self._series: dict[_Key, _Series] = {}
        self._news = asyncio.Event()
        self._closing = False
        self._silent = False
        """Whether the last write failed: one warning is enough."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    def tell(self, reason: Reason, note: str, *, warning: bool = False) -> None:
        """It happened. Never waits and never raises; after `close` it says nothing."""
        if self._closing:
            return
        key = reason, warning
        before = self._held.get(key)
        self._held[key] = Occurrence(reason, note, warning, 1 + (before.count if before else 0))
        self._news.set()

    async def close(self, seconds: float) -> None:
        """Write what is held, however young the last write is, for so many seconds at most."""
        self._closing = True
        self._news.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep(self) -> None:
        while self._held or not self._closing:
            key = min(self._held, key=self._due, default=None)
            if key is not None and (self._closing or self._due(key) <= self._loop.time()):
                await self._write(key)
                continue
            self._news.clear()
            try:
                async with asyncio.timeout_at(None if key is None else self._due(key)):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _due(self, key: _Key) -> float:
        """Loop time from which on it may be written."""
        return self._series[key].written + PAUSE if key in self._series else float("-inf")

    async def _write(self, key: _Key) -> None:
        """One try. What it fails to say is said no more, except by the count of a series that goes on."""
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
            self._told(error.cause)
            if not self._silent:
                log.warning("the cluster does not take events", cause=error.cause.value, reason=str(error))
            self._silent = True
        else:
            self._silent = False
