"""The pods behind the Service, from lists and watches, and what happens when those fail."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest

from forestay.ops.kubernetes import endpoints
from forestay.ops.kubernetes.endpoints import (
    Change,
    Conditions,
    Endpoint,
    Endpoints,
    Entry,
    Metadata,
    Slice,
    SlicesGone,
    Target,
)
from forestay.ops.kubernetes.unanswered import Cause, Unanswered
from tests.support.virtual_time import virtual

DOWN = Unanswered(Cause.UNREACHABLE, "refused")


def pod(name: str, *, ready: bool | None = True, terminating: bool | None = None) -> Entry:
    return Entry(Conditions(ready, terminating), Target("Pod", name))


def piece(name: str, *entries: Entry, version: str = "1") -> Slice:
    return Slice(Metadata(name, version), list(entries))


class FakeSlices:
    """Slices and changes that the test sets, and faults that are raised, one for each call."""

    def __init__(self, *slices: Slice) -> None:
        self.slices = list(slices)
        self.list_faults: deque[Exception] = deque()
        self.watch_faults: deque[Exception] = deque()
        self.down: Exception | None = None
        """Raised by every call."""
        self.brief = False
        """Watches end at once."""
        self.changes: asyncio.Queue[Change | Exception | None] = asyncio.Queue()
        """What watches yield; None ends one."""
        self.lists: list[float] = []
        self.watches: list[tuple[float, str, int]] = []

    async def list(self) -> tuple[Sequence[Slice], str]:
        self.lists.append(asyncio.get_running_loop().time())
        self._fail(self.list_faults)
        return self.slices, "7"

    @asynccontextmanager
    async def watch(self, version: str, seconds: int) -> AsyncIterator[AsyncIterator[Change]]:
        self.watches.append((asyncio.get_running_loop().time(), version, seconds))
        self._fail(self.watch_faults)
        yield self._changes()

    async def _changes(self) -> AsyncIterator[Change]:
        while not self.brief and (change := await self.changes.get()) is not None:
            if isinstance(change, Exception):
                raise change
            yield change

    def _fail(self, faults: deque[Exception]) -> None:
        if self.down is not None:
            raise self.down
        if faults:
            raise faults.popleft()


class Highest:
    """A random number generator that returns the highest number and remembers each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, float]] = []

    def __call__(self, low: float, high: float) -> float:
        self.calls.append((low, high))
        return high

    @property
    def rests(self) -> list[tuple[float, float]]:
        return [call for call in self.calls if call[1] != endpoints.WATCH[1]]


class Following:
    def __init__(self, slices: FakeSlices) -> None:
        self.rng = Highest()
        self.faults: list[str] = []
        self.endpoints = Endpoints(slices, self.rng, self.faults.append)


@contextmanager
def following(slices: FakeSlices) -> Iterator[Following]:
    us = Following(slices)
    task = asyncio.create_task(us.endpoints.follow())
    try:
        yield us
        assert not task.done(), "it must follow until cancelled"
    finally:
        task.cancel()


async def moment() -> None:
    """Let everything happen that needs no time."""
    await asyncio.sleep(0.001)


@virtual
async def test_each_pod_counts_once_however_many_slices_name_it() -> None:
    """It is ready or terminating if one slice says so. Other endpoints are left out, and a missing value is true."""
    slices = FakeSlices(
        piece("v4", pod("b"), pod("a", ready=False), pod("c", ready=False, terminating=True), pod("e", ready=None)),
        piece("v6", pod("b", ready=False), pod("a", ready=False), pod("c", ready=False), pod("f")),
        piece("later", Entry(None, Target("Pod", "d")), pod("f", ready=False, terminating=True)),
        piece("by hand", Entry(Conditions(ready=True)), Entry(Conditions(ready=True), Target("Node", "n"))),
        Slice(Metadata("empty"), None),
    )
    with following(slices) as us:
        assert us.endpoints.pods() is None
        assert us.endpoints.changed_at is None
        await moment()
        assert us.endpoints.pods() == (
            Endpoint("a", ready=False, terminating=False),
            Endpoint("b", ready=True, terminating=False),
            Endpoint("c", ready=False, terminating=True),
            Endpoint("d", ready=True, terminating=False),
            Endpoint("e", ready=True, terminating=False),
            Endpoint("f", ready=True, terminating=True),
        )


@virtual
async def test_only_real_changes_change_the_time_of_the_last_change() -> None:
    """Added, modified and deleted slices change the pods. A bookmark and a repetition do not."""
    slices = FakeSlices(piece("v4", pod("a")))
    with following(slices) as us:
        await moment()
        seen = us.endpoints.changed_at
        await asyncio.sleep(5)
        for change in (
            Change("BOOKMARK", Slice(Metadata(resource_version="8"))),
            Change("MODIFIED", piece("v4", pod("a"), version="9")),
            Change("ADDED", piece("v6", pod("a"), version="10")),
        ):
            slices.changes.put_nowait(change)
        await moment()
        assert us.endpoints.changed_at == seen
        slices.changes.put_nowait(Change("MODIFIED", piece("v4", pod("a"), pod("b", ready=False), version="11")))
        await moment()
        assert us.endpoints.changed_at == pytest.approx(5, abs=0.1)
        assert [each.name for each in us.endpoints.pods() or ()] == ["a", "b"]
        slices.changes.put_nowait(Change("DELETED", piece("v4", pod("a"), pod("b"), version="12")))
        await moment()
        assert [each.name for each in us.endpoints.pods() or ()] == ["a"]


@virtual
async def test_a_watch_that_ends_goes_on_from_the_last_version() -> None:
    """It does so after a bookmark and after a broken watch too, without another list."""
    slices = FakeSlices(piece("v4", pod("a")))
    with following(slices) as us:
        await asyncio.sleep(270)
        slices.changes.put_nowait(Change("BOOKMARK", Slice(Metadata(resource_version="80"))))
        slices.changes.put_nowait(None)
        await asyncio.sleep(270)
        slices.changes.put_nowait(Change("MODIFIED", piece("v4", pod("a"), version="90")))
        slices.changes.put_nowait(DOWN)
        await asyncio.sleep(270)
        assert [(version, seconds) for _, version, seconds in slices.watches] == [("7", 300), ("80", 300), ("90", 300)]
        assert us.rng.rests == [(0, 1), (0, 1)]
        assert us.faults == ["unreachable"]
        assert len(slices.lists) == 1


@virtual
async def test_pods_without_news_for_half_a_minute_are_unknown() -> None:
    """An open, silent watch counts as news. A list without a watch is valid for thirty seconds."""
    slices = FakeSlices(piece("v4", pod("a")))
    with following(slices) as us:
        await asyncio.sleep(1000)
        assert us.endpoints.pods() is not None
        slices.down = DOWN
        slices.changes.put_nowait(DOWN)
        await asyncio.sleep(29)
        assert us.endpoints.pods() is not None
        await asyncio.sleep(2)
        assert us.endpoints.pods() is None
        slices.down = None
        await asyncio.sleep(60)
        assert us.endpoints.pods() is not None


@virtual
async def test_a_server_that_ends_watches_at_once_is_asked_less_and_less() -> None:
    """Rests double from a second to a minute, and are short again after a stable watch."""
    slices = FakeSlices(piece("v4", pod("a")))
    slices.brief = True
    with following(slices) as us:
        await asyncio.sleep(3.5)
        assert len(slices.watches) == 3
        assert set(us.faults) == {"brief"}
        await asyncio.sleep(600)
        assert us.rng.rests[:8] == [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (0, 32), (0, 60), (0, 60)]
        slices.brief = False
        await asyncio.sleep(100)
        slices.changes.put_nowait(None)
        await moment()
        assert us.rng.rests[-1] == (0, 1)


@virtual
async def test_a_version_that_is_gone_leads_to_a_list() -> None:
    """It does so whether the request or the watch says so. If it happens again and again, rests grow."""
    slices = FakeSlices(piece("v4", pod("a")))
    with following(slices) as us:
        await moment()
        slices.slices = [piece("v4", pod("b"))]
        slices.changes.put_nowait(SlicesGone())
        await asyncio.sleep(2)
        assert [each.name for each in us.endpoints.pods() or ()] == ["b"]
        slices.down = SlicesGone()
        slices.changes.put_nowait(None)
        await asyncio.sleep(60)
        assert us.rng.rests == [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (0, 32)]
        assert us.faults == ["gone", "brief", *["gone"] * 4]


@virtual
async def test_a_retry_after_is_added_to_the_rest() -> None:
    """Retry-After is respected for five minutes at most."""
    slices = FakeSlices()
    slices.list_faults += [
        Unanswered(Cause.THROTTLED, "slow down", retry_after=20),
        Unanswered(Cause.FAILED, "closed", retry_after=86400),
        Unanswered(Cause.FAILED, "broken"),
    ]
    with following(slices) as us:
        await asyncio.sleep(400)
        assert slices.lists == pytest.approx([0, 21, 21 + 302, 21 + 302 + 4])
        assert us.faults == ["throttled", "failed", "failed"]


@pytest.mark.parametrize("cause", [Cause.DENIED, Cause.ABSENT])
def test_a_pod_without_the_right_asks_once_a_minute_and_logs_once(
    cause: Cause, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right, or without a cluster, a short rest is useless."""
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(endpoints.log, "warning", lambda _, **facts: lines.append(facts))

    @virtual
    async def follow() -> None:
        slices = FakeSlices()
        slices.down = Unanswered(cause, "no")
        with following(slices) as us:
            await asyncio.sleep(599)
            assert us.rng.rests == [(30, 60)] * 10
            assert us.faults == [cause] * 10

    follow()
    assert lines == [{"cause": cause.value, "reason": "no"}]


@virtual
async def test_a_version_that_the_server_waits_for_is_given_up() -> None:
    """A server that was restored from a backup may not have our version yet. After three failures we list."""
    slices = FakeSlices(piece("v4", pod("a")))
    with following(slices) as us:
        slices.watch_faults += [Unanswered(Cause.FAILED, "504 too large a version")] * 3
        await asyncio.sleep(60)
        assert len(slices.watches) == 4
        assert len(slices.lists) == 2
        assert us.endpoints.pods() is not None
