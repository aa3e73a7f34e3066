"""The fleet as it is told by lists and watches, and what is done when nobody tells it."""

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
    """Slices that are told, and faults that are raised, one per call."""

    def __init__(self, *slices: Slice) -> None:
        self.slices = list(slices)
        self.list_faults: deque[Exception] = deque()
        self.watch_faults: deque[Exception] = deque()
        self.down: Exception | None = None
        """Raised whenever anything is asked."""
        self.brief = False
        """Watches end at once."""
        self.told: asyncio.Queue[Change | Exception | None] = asyncio.Queue()
        """What watches say; None ends one."""
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
        while not self.brief and (change := await self.told.get()) is not None:
            if isinstance(change, Exception):
                raise change
            yield change

    def _fail(self, faults: deque[Exception]) -> None:
        if self.down is not None:
            raise self.down
        if faults:
            raise faults.popleft()


class Dice:
    """Always the highest, and every throw remembered."""

    def __init__(self) -> None:
        self.thrown: list[tuple[float, float]] = []

    def __call__(self, low: float, high: float) -> float:
        self.thrown.append((low, high))
        return high

    @property
    def rests(self) -> list[tuple[float, float]]:
        return [throw for throw in self.thrown if throw[1] != endpoints.WATCH[1]]


class Following:
    def __init__(self, slices: FakeSlices) -> None:
        self.rng = Dice()
        self.faults: list[str] = []
        self.endpoints = Endpoints(slices, self.rng, self.faults.append)


@contextmanager
def following(slices: FakeSlices) -> Iterator[Following]:
    us = Following(slices)
    task = asyncio.create_task(us.endpoints.follow())
    try:
        yield us
        assert not task.done(), "it is to follow until cancelled"
    finally:
        task.cancel()


async def moment() -> None:
    """Everything that needs no time has happened."""
    await asyncio.sleep(0.001)


@virtual
async def test_each_pod_counts_once_however_many_slices_name_it() -> None:
    """Ready if one slice says so, terminating if one does; what is no pod is left out, and what is not said is true."""
    slices = FakeSlices(
        piece("v4", pod("b"), pod("a", ready=False), pod("c", ready=False, terminating=True), pod("e", ready=None)),
        piece("v6", pod("b", ready=False), pod("a", ready=False), pod("c", ready=False), pod("f")),
        piece("later", Entry(None, Target("Pod", "d")), pod("f", ready=False, terminating=True)),
        piece("by hand", Entry(Conditions(ready=True)), Entry(Conditions(ready=True), Target("Node", "n"))),
        Slice(Metadata("empty"), None),
    )
    with following(slices) as us:
        assert us.endpoints.fleet() is None
        assert us.endpoints.changed_at is None
        await moment()
        assert us.endpoints.fleet() == (
            Endpoint("a", ready=False, terminating=False),
            Endpoint("b", ready=True, terminating=False),
            Endpoint("c", ready=False, terminating=True),
            Endpoint("d", ready=True, terminating=False),
            Endpoint("e", ready=True, terminating=False),
            Endpoint("f", ready=True, terminating=True),
        )


@virtual
async def test_changes_are_heard_and_only_they_reset_the_settle_timer() -> None:
    """Added, modified and deleted slices change the fleet; a bookmark and a repetition do not."""
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
            slices.told.put_nowait(change)
        await moment()
        assert us.endpoints.changed_at == seen
        slices.told.put_nowait(Change("MODIFIED", piece("v4", pod("a"), pod("b", ready=False), version="11")))
        await moment()
        assert us.endpoints.changed_at == pytest.approx(5, abs=0.1)
        assert [each.name for each in us.endpoints.fleet() or ()] == ["a", "b"]
        slices.told.put_nowait(Change("DELETED", piece("v4", pod("a"), pod("b"), version="12")))
        await moment()
        assert [each.name for each in us.endpoints.fleet() or ()] == ["a"]


@virtual
async def test_a_watch_that_ends_goes_on_from_the_last_version() -> None:
    """Also where that was a bookmark's, and where it broke: nothing is listed again."""
    slices = FakeSlices(piece("v4", pod("a")))
    with following(slices) as us:
        await asyncio.sleep(270)
        slices.told.put_nowait(Change("BOOKMARK", Slice(Metadata(resource_version="80"))))
        slices.told.put_nowait(None)
        await asyncio.sleep(270)
        slices.told.put_nowait(Change("MODIFIED", piece("v4", pod("a"), version="90")))
        slices.told.put_nowait(DOWN)
        await asyncio.sleep(270)
        assert [(version, seconds) for _, version, seconds in slices.watches] == [("7", 300), ("80", 300), ("90", 300)]
        assert us.rng.rests == [(0, 1), (0, 1)]
        assert us.faults == ["unreachable"]
        assert len(slices.lists) == 1


@virtual
async def test_what_was_not_heard_of_for_half_a_minute_is_not_known() -> None:
    """A watch that is open and silent is as good as news; a list without a watch is good for thirty seconds."""
    slices = FakeSlices(piece("v4", pod("a")))
    with following(slices) as us:
        await asyncio.sleep(1000)
        assert us.endpoints.fleet() is not None
        slices.down = DOWN
        slices.told.put_nowait(DOWN)
        await asyncio.sleep(29)
        assert us.endpoints.fleet() is not None
        await asyncio.sleep(2)
        assert us.endpoints.fleet() is None
        slices.down = None
        await asyncio.sleep(60)
        assert us.endpoints.fleet() is not None


@virtual
async def test_a_server_that_ends_watches_at_once_is_asked_less_and_less() -> None:
    """Rests double from a second to a minute, and are short again after a watch that lived."""
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
        slices.told.put_nowait(None)
        await moment()
        assert us.rng.rests[-1] == (0, 1)


@virtual
async def test_a_version_that_is_gone_is_a_reason_to_list() -> None:
    """Whether the watch is refused or told so; again and again it is a reason to rest."""
    slices = FakeSlices(piece("v4", pod("a")))
    with following(slices) as us:
        await moment()
        slices.slices = [piece("v4", pod("b"))]
        slices.told.put_nowait(SlicesGone())
        await asyncio.sleep(2)
        assert [each.name for each in us.endpoints.fleet() or ()] == ["b"]
        slices.down = SlicesGone()
        slices.told.put_nowait(None)
        await asyncio.sleep(60)
        assert us.rng.rests == [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (0, 32)]
        assert us.faults == ["gone", "brief", *["gone"] * 4]


@virtual
async def test_who_asks_for_a_pause_gets_it() -> None:
    """Retry-After comes on top of our own rest, and is believed for five minutes at most."""
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
def test_who_may_not_ask_asks_once_a_minute_and_complains_once(cause: Cause, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right, or without a cluster, waiting for a second is in vain."""
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
async def test_a_version_that_nobody_answers_to_is_given_up() -> None:
    """A server that was restored from a backup waits for a version that it will not see: the third time we list."""
    slices = FakeSlices(piece("v4", pod("a")))
    with following(slices) as us:
        slices.watch_faults += [Unanswered(Cause.FAILED, "504 too large a version")] * 3
        await asyncio.sleep(60)
        assert len(slices.watches) == 4
        assert len(slices.lists) == 2
        assert us.endpoints.fleet() is not None
