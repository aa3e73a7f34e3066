"""Events about our pod: they are few and counted, and they never make a caller wait."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from forestay.ops.kubernetes import events
from forestay.ops.kubernetes.events import Events, Occurrence, Reason
from forestay.ops.kubernetes.unanswered import Cause, Unanswered
from forestay.pod.tasks import Supervisor
from tests.support.virtual_time import virtual

DRAIN, BUS, SHED = Reason.DRAIN_STARTED, Reason.BUS_DEGRADED, Reason.REBALANCE_SHED


class FakeJournal:
    """Remembers what was written, and when."""

    def __init__(self) -> None:
        self.written: list[tuple[float, Occurrence | tuple[str, int]]] = []
        self.known: set[str] = set()
        self.down = False
        self.hangs = False

    async def create(self, occurrence: Occurrence) -> str:
        await self._write(occurrence)
        name = f"e{len(self.written)}"
        self.known.add(name)
        return name

    async def repeat(self, name: str, count: int) -> bool:
        await self._write((name, count))
        return name in self.known

    async def _write(self, what: Occurrence | tuple[str, int]) -> None:
        self.written.append((asyncio.get_running_loop().time(), what))
        if self.hangs:
            await asyncio.sleep(1000)
        if self.down:
            raise Unanswered(Cause.DENIED, "403")


@asynccontextmanager
async def recording(journal: FakeJournal) -> AsyncIterator[tuple[Events, list[str]]]:
    faults: list[str] = []
    tasks = Supervisor(random.uniform)
    recorder = Events(journal, tasks, faults.append)
    recorder.start()
    yield recorder, faults
    await recorder.close(1)
    assert tasks.failing == []


@virtual
async def test_a_reason_is_written_at_once_and_then_once_a_minute() -> None:
    """What happens in between is counted for the next write: ten thousand occurrences are two writes."""
    journal = FakeJournal()
    async with recording(journal) as (recorder, _):
        recorder.record(SHED, "first")
        await asyncio.sleep(1)
        for number in range(9_999):
            recorder.record(SHED, f"and {number}")
        recorder.record(BUS, "gone", warning=True)
        await asyncio.sleep(200)
    assert journal.written == [
        (0, Occurrence(SHED, "first", warning=False, count=1)),
        (1, Occurrence(BUS, "gone", warning=True, count=1)),
        (60, ("e1", 10_000)),
    ]


@virtual
async def test_a_flood_from_one_moment_is_one_event() -> None:
    """It is written with its count and its newest note."""
    journal = FakeJournal()
    async with recording(journal) as (recorder, _):
        for number in range(5):
            recorder.record(SHED, f"shed {number}")
    assert journal.written == [(0, Occurrence(SHED, "shed 4", warning=False, count=5))]


@virtual
async def test_a_series_ends_after_half_an_hour_or_when_the_cluster_forgot_it() -> None:
    """Then the next write makes a new event, which counts from the beginning."""
    journal = FakeJournal()
    async with recording(journal) as (recorder, _):
        recorder.record(SHED, "a")
        await asyncio.sleep(1799)
        recorder.record(SHED, "b")
        await asyncio.sleep(1801)
        recorder.record(SHED, "c")
        await asyncio.sleep(100)
        journal.known.clear()
        recorder.record(SHED, "d")
        await asyncio.sleep(100)
        recorder.record(SHED, "e")
    assert [what if isinstance(what, tuple) else (what.note, what.count) for _, what in journal.written] == [
        ("a", 1),
        ("e1", 2),
        ("c", 1),
        ("e3", 2),
        ("d", 1),
        ("e5", 2),
    ]


@virtual
async def test_a_warning_and_a_note_about_the_same_are_two_events() -> None:
    """The type of an event cannot change later."""
    journal = FakeJournal()
    async with recording(journal) as (recorder, _):
        recorder.record(BUS, "gone", warning=True)
        recorder.record(BUS, "back")
    assert [what.warning for _, what in journal.written if isinstance(what, Occurrence)] == [True, False]


def test_a_write_that_fails_is_counted_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures in a row are logged once. An API that fails is asked no more often than one that works."""
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(events.log, "warning", lambda _, **facts: lines.append(facts))

    @virtual
    async def fail() -> None:
        journal = FakeJournal()
        journal.down = True
        async with recording(journal) as (recorder, faults):
            for second in range(180):
                recorder.record(SHED, f"at {second}")
                await asyncio.sleep(1)
            assert [at for at, _ in journal.written] == [0, 60, 120]
            assert faults == ["denied"] * 3
            journal.down = False
            await asyncio.sleep(100)
            # The sixty before it are lost: there is no event to add them to.
            assert journal.written[-1] == (180, Occurrence(SHED, "at 179", warning=False, count=59))

    fail()
    assert lines == [{"cause": "denied", "reason": "403"}]


@virtual
async def test_held_events_are_written_before_the_exit() -> None:
    """Closing does not wait for the minute. What is recorded after it is ignored."""
    journal = FakeJournal()
    async with recording(journal) as (recorder, _):
        recorder.record(SHED, "a")
        await asyncio.sleep(1)
        recorder.record(SHED, "b")
        recorder.record(DRAIN, "n=8123")
        await recorder.close(5)
        recorder.record(DRAIN, "again")
    # The reason that was never written comes first.
    assert journal.written[1:] == [(1, Occurrence(DRAIN, "n=8123", warning=False, count=1)), (1, ("e1", 2))]


@virtual
async def test_an_api_that_hangs_makes_no_caller_wait() -> None:
    """Recording returns at once, and closing returns after its seconds."""
    journal = FakeJournal()
    journal.hangs = True
    loop = asyncio.get_running_loop()
    async with recording(journal) as (recorder, _):
        recorder.record(DRAIN, "n=1")
        await asyncio.sleep(1)
        before = loop.time()
        recorder.record(BUS, "gone", warning=True)
        assert loop.time() == before
        await recorder.close(5)
        assert loop.time() == before + 5
