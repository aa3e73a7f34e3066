"""When new connections should come to a pod, on a virtual clock."""

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from forestay.core.rules.lifecycle import Lifecycle, State
from forestay.ops.health.quorum import ROUND, Peer, may_leave, should_return
from forestay.ops.health.readiness import BusReadiness, BusRule, NoNeighbours, Readiness, Vitals
from tests.support.virtual_time import virtual

GRACE = 5.0


class Pod:
    """A readiness whose vitals the test sets."""

    def __init__(
        self, mode: BusReadiness = BusReadiness.AUTO, neighbours: "View | None" = None, name: str = "me"
    ) -> None:
        self.connections = 0
        self.bus = True
        self.lag = 0.0
        self.failing: list[str] = []
        self.degraded = 0
        """How often the pod reported that it is degraded."""
        self.lifecycle = Lifecycle()
        self.lifecycle.move(State.READY)
        self.keys_missing: str | None = None
        vitals = Vitals(
            connections=lambda: self.connections,
            most_connections=100,
            bus_up=lambda: self.bus,
            lag=lambda: self.lag,
            most_lag=1.0,
            failing_tasks=lambda: self.failing,
            keys_missing=lambda: self.keys_missing,
        )
        rule = BusRule(mode, GRACE, name)
        self.readiness = Readiness(self.lifecycle, vitals, rule, neighbours or NoNeighbours(), self.is_degraded)
        self.look()

    def is_degraded(self) -> None:
        self.degraded += 1

    def lose_the_bus(self) -> None:
        self.bus = False

    @property
    def state(self) -> State:
        return self.lifecycle.state

    def look(self, now: float = 0.0) -> bool:
        self.readiness.look(now, now)
        return self.readiness.ready


class View:
    """The cluster's list of pods."""

    def __init__(self) -> None:
        self.seen: Sequence[Peer] | None = None
        self.asked = False

    def wake(self) -> None:
        self.asked = True

    def rest(self) -> None:
        self.asked = False

    def pods(self) -> Sequence[Peer] | None:
        return self.seen if self.asked else None


def test_saturation_has_two_thresholds() -> None:
    """The pod is not ready from 90 % on and ready again below 80 %, and it does not flap in between."""
    pod = Pod()
    readiness: dict[int, tuple[bool, ...]] = {}
    for number in [*range(101), *range(100, -1, -1)]:
        pod.connections = number
        readiness[number] = (*readiness.get(number, ()), pod.look())
    assert readiness[89] == (True, False)
    assert readiness[90][0] is False
    assert readiness[80][-1] is False
    assert readiness[79][-1] is True
    pod.connections = 95
    pod.look()
    assert pod.lifecycle.state is State.SATURATED
    assert pod.lifecycle.open, "there is room for ten more"
    assert pod.readiness.reason == "saturated"


def test_a_loop_that_stays_late_makes_the_pod_not_ready() -> None:
    """The pod is ready again when the lag has halved."""
    pod = Pod()
    for lag, ready in ((0.9, True), (1.1, False), (0.6, False), (0.4, True)):
        pod.lag = lag
        assert pod.look() is ready


def test_a_failed_task_makes_the_pod_not_ready() -> None:
    """The reason names the tasks. The pod is ready again when none is left, and its state does not change."""
    pod = Pod()
    pod.failing = ["balance", "heartbeat"]
    assert not pod.look()
    assert (pod.readiness.reason, pod.state, pod.readiness.started) == ("tasks", State.READY, True)
    [check] = [check for check in pod.readiness.checks() if not check.ok]
    assert (check.name, check.reason) == ("tasks", "failed: balance, heartbeat")
    pod.failing = []
    assert pod.look()


def test_a_pod_that_can_verify_no_token_is_not_ready() -> None:
    """It could admit nobody. It has started, keeps its state and its connections, and is ready again with the keys."""
    pod = Pod()
    pod.keys_missing = "the issuer's keys are not known: timeout"
    assert not pod.look()
    assert (pod.readiness.reason, pod.state, pod.readiness.started) == ("keys", State.READY, True)
    [check] = [check for check in pod.readiness.checks() if not check.ok]
    assert (check.name, check.reason) == ("keys", pod.keys_missing)
    pod.keys_missing = None
    assert pod.look()


def test_a_bus_that_stays_lost_is_reported_once() -> None:
    """The report comes when the grace is over, and again only after the bus was up."""
    pod = Pod()
    for now, bus, reports in ((10, False, 0), (14, False, 0), (15, False, 1), (20, False, 1), (21, True, 1)):
        pod.bus = bus
        pod.look(now)
        assert pod.degraded == reports
    pod.bus = False
    pod.look(30)
    pod.look(30 + GRACE)
    assert pod.degraded == 2


def test_a_pod_has_started_when_it_has_reached_the_bus() -> None:
    """After that, a lost bus does not change the startup probe."""
    pod = Pod()
    pod.readiness.bus_reached.clear()
    pod.bus = False
    assert not pod.look()
    assert (pod.readiness.started, pod.readiness.reason) == (False, "starting")
    pod.bus = True
    assert pod.look()
    pod.bus = False
    pod.look(100)
    assert pod.readiness.started


@pytest.mark.parametrize(("mode", "ready"), [("strict", False), ("degraded", True), ("auto", True)])
def test_a_lost_bus_without_known_neighbours(mode: str, ready: bool) -> None:  # noqa: FBT001
    """With `strict` the pod is not ready after the grace, else it stays ready. It recovers with the bus."""
    pod = Pod(BusReadiness(mode))
    pod.bus = False
    pod.look(10)
    assert pod.state.value == "degraded"
    assert pod.look(10 + GRACE - 0.1)
    assert pod.look(10 + GRACE) is ready
    assert pod.lifecycle.open, "new connections are let in"
    pod.bus = True
    assert pod.look(20)
    assert pod.state.value == "ready"


def test_the_neighbours_are_followed_only_while_the_bus_is_lost() -> None:
    """Without trouble the pod does not follow the cluster's list."""
    view = View()
    pod = Pod(neighbours=view)
    seen = [view.asked]
    for now, bus in enumerate((False, True), start=1):
        pod.bus = bus
        pod.look(now)
        seen.append(view.asked)
    assert seen == [False, True, False]


class Service:
    """Pods, and a list of the ready ones that each of them sees late."""

    def __init__(self, size: int, delay: float = 2.0) -> None:
        self.names = [f"pod-{number}" for number in range(size)]
        self.views = [View() for _ in self.names]
        self.pods = [Pod(neighbours=view, name=name) for view, name in zip(self.views, self.names, strict=True)]
        self.delay = delay
        self.history: list[list[bool]] = []
        self.loop = asyncio.get_running_loop()
        # Pods do not look in step.
        self.offsets = [random.Random(number).uniform(0, 0.25) for number in range(size)]
        self._live([True] * size)

    async def live(self, seconds: float) -> None:
        """Let `seconds` pass, in steps in which each pod looks once."""
        until = self.loop.time() + seconds
        while self.loop.time() < until:
            await asyncio.sleep(0.25)
            self._live([pod.look(self.loop.time() + at) for pod, at in zip(self.pods, self.offsets, strict=True)])

    def _live(self, ready: list[bool]) -> None:
        self.history.append(ready)
        peers = [Peer(name, one) for name, one in zip(self.names, ready, strict=True)]
        for view in self.views:
            self.loop.call_later(self.delay, setattr, view, "seen", peers)

    def ready(self) -> list[int]:
        """The number of ready pods at each step so far."""
        return [sum(ready) for ready in self.history]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 10])
def test_when_all_lose_the_bus_half_stay(size: int) -> None:
    """Half are ready at every moment, and no pod flaps. A single pod always stays."""

    @virtual
    async def story() -> None:
        service = Service(size)
        await service.live(10)
        rng = random.Random(size)
        for pod in service.pods:
            # The pods do not notice it at the same moment.
            service.loop.call_later(rng.uniform(0, 6), pod.lose_the_bus)
        await service.live(300)
        ready = service.ready()
        assert min(ready) == (size + 1) // 2
        changes = sum(before != after for before, after in pairwise(ready))
        assert changes <= size // 2, "no pod came back only to leave again"
        for pod in service.pods:
            pod.bus = True
        await service.live(10)
        assert service.ready()[-1] == size

    story()


@pytest.mark.parametrize("size", [2, 3, 10])
def test_a_pod_that_lost_the_bus_alone_leaves_and_comes_back(size: int) -> None:
    """It leaves within the grace and its turn, and comes back with the bus."""

    @virtual
    async def story() -> None:
        for alone in range(size):
            service = Service(size)
            await service.live(7)
            service.pods[alone].bus = False
            await service.live(GRACE + 3 * ROUND + 1)
            assert [not one for one in service.history[-1]] == [number == alone for number in range(size)]
            service.pods[alone].bus = True
            await service.live(0.5)
            assert all(service.history[-1])

    story()


def test_pods_that_left_come_back_when_the_others_are_gone() -> None:
    """Where fewer than half are ready, as many as are missing return, and no more."""
    pods = [Peer(f"pod-{number}", ready=number < 2) for number in range(8)]
    turns = [[peer.name for peer in pods if should_return(pods, peer.name, clock)] for clock in (0.5, 0.5 + ROUND, 3.0)]
    assert [len(turn) for turn in turns] == [2, 2, 0]
    assert turns[0] != turns[1]
    assert not any(may_leave(pods, peer.name, 0.5) for peer in pods)


def test_a_pod_that_is_not_on_the_list_stays() -> None:
    """It cannot know what its leaving would mean to the others."""
    pods = [Peer("a", ready=True), Peer("b", ready=True)]
    assert not any(may_leave(pods, "c", clock / 10) for clock in range(100))
