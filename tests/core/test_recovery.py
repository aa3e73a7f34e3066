"""A pod's view of a room stays complete when the bus loses, repeats or delays messages."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.core.ports.bus import BusLost, Page, Query, Subscriber
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.missed import Missed
from forestay.core.rooms.recovery import Recovery
from forestay.core.rules.policies import Policies, Policy, Retention
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.support.subscriber import FunctionSubscriber
from tests.support.tasks import PlainTasks

ROOM = RoomName("chat.lobby")
KEPT = Retention(size=20, ttl=60.0)


class UnreliableBus(MemoryBus):
    """The memory bus with losses and delays on the way to one pod. A test reports the losses."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.losing = False
        self.away = False
        self.broken = False
        self.late: list[Message] = []
        self.delaying = False
        self._subscribers: dict[RoomName, Subscriber] = {}

    def subscribe(self, room: RoomName, subscriber: Subscriber) -> None:
        self._subscribers[room] = subscriber
        super().subscribe(room, FunctionSubscriber(subscriber.confirmed, self._lossy, subscriber.doubted))

    def _lossy(self, message: Message) -> None:
        if self.losing:
            return
        if self.delaying:
            self.late.append(message)
        else:
            self._subscribers[message.room].received(message)

    def catch_up(self) -> None:
        late, self.late = self.late, []
        for message in late:
            self._subscribers[message.room].received(message)

    def doubt(self) -> None:
        self._subscribers[ROOM].doubted()

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        await asyncio.sleep(0)
        if self.broken:
            raise ZeroDivisionError
        if self.away:
            raise BusLost
        return await super().history(room, query, kept)


class Members:
    """What the members of the room were given, in order."""

    def __init__(self) -> None:
        self.seen: list[int | str] = []

    def deliver(self, message: Message) -> None:
        self.seen.append(int(message.payload))

    def resync(self, name: RoomName, reason: str, position: Position | None) -> None:
        self.seen.append(reason)


class Pod:
    """A Recovery for one room over an unreliable bus, and a sender with a reliable one."""

    def __init__(self, *, history: Retention | None = KEPT) -> None:
        self.exchange = Exchange()
        self.bus = UnreliableBus(self.exchange)
        self.sender = MemoryBus(self.exchange)
        self.members = Members()
        self.kept = history
        self.tasks = PlainTasks()
        runtime = Runtime(
            asyncio.get_running_loop(), time.time, time.perf_counter, lambda: "id", random.uniform, self.tasks
        )
        policies = Policies([Policy(pattern="**", history=history)])
        self.recovery = Recovery(runtime, self.bus, policies, self.members, 1000)
        self.sent = 0

    async def open(self) -> None:
        subscriber = FunctionSubscriber(
            lambda: self.recovery.open(ROOM, lambda: None), self.recovery.receive, lambda: self.recovery.doubt(ROOM)
        )
        self.bus.subscribe(ROOM, subscriber)
        await settle()

    def send(self, number: int = 1) -> None:
        for _ in range(number):
            self.sent += 1
            self.sender.publish(Message(ROOM, str(self.sent).encode(), "now"), kept=self.kept)

    async def check(self) -> None:
        """Check the positions twice, as the timer does."""
        for _ in range(2):
            positions = await self.bus.positions([ROOM])
            for room, view in list(self.recovery._views.items()):
                self.recovery._compare(room, view, positions.get(room))
            await settle()


async def settle() -> None:
    """Run the loop until the tasks have made progress."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_messages_in_order_are_served_in_order() -> None:
    """Without a loss each message is delivered once, and no history is read."""
    pod = Pod()
    await pod.open()
    pod.send(3)
    assert pod.members.seen == [1, 2, 3]


async def test_a_hole_is_filled_from_the_history() -> None:
    """A message that does not follow on the last one makes the pod read the missing ones."""
    pod = Pod()
    await pod.open()
    pod.send()
    pod.bus.losing = True
    pod.send(3)
    pod.bus.losing = False
    pod.send()
    await settle()
    assert pod.members.seen == [1, 2, 3, 4, 5]


async def test_a_bug_in_a_repair_is_a_declared_loss_and_the_room_goes_on() -> None:
    """The members are told of a loss, the failure is reported, and the next messages reach them."""
    pod = Pod()
    await pod.open()
    pod.send()
    pod.bus.losing = True
    pod.send()
    pod.bus.losing = False
    pod.bus.broken = True
    pod.send()
    await settle()
    pod.bus.broken = False
    pod.send(2)
    await settle()
    assert pod.members.seen == [1, "lost", 4, 5]
    assert [(failure.name, type(failure.error)) for failure in pod.tasks.failures] == [
        ("recovery_repair", ZeroDivisionError)
    ]


async def test_a_bug_while_a_room_is_opened_loses_no_later_message() -> None:
    """Its position is not known then. The next message is where the members are."""
    pod = Pod()
    pod.send()
    pod.bus.broken = True
    await pod.open()
    await settle()
    pod.bus.broken = False
    pod.send(2)
    await settle()
    assert pod.members.seen == ["lost", 2, 3]
    assert len(pod.tasks.failures) == 1


async def test_a_bug_in_a_repair_keeps_the_position_though_the_last_message_has_none() -> None:
    """News of presence have no position. The messages after them follow on the last one that has."""
    pod = Pod()
    await pod.open()
    pod.send()
    pod.bus.losing = True
    pod.send()
    pod.bus.losing, pod.bus.broken = False, True
    pod.send()
    pod.bus.publish(Message(ROOM, b"0", "now", sender="bob", kind=Kind.USER_LEFT))
    await settle()
    pod.bus.broken = False
    pod.send(2)
    await settle()
    assert pod.members.seen == [1, "lost", 4, 5]


async def test_a_doubted_room_is_read_on_without_a_new_message() -> None:
    """When the bus reports a gap, the missing messages are read at once."""
    pod = Pod()
    await pod.open()
    pod.bus.losing = True
    pod.send(2)
    pod.bus.losing = False
    pod.bus.doubt()
    await settle()
    assert pod.members.seen == [1, 2]


async def test_a_loss_that_the_bus_does_not_report_is_found_by_the_position_check() -> None:
    """A room whose position is ahead in two checks is read."""
    pod = Pod()
    await pod.open()
    pod.bus.losing = True
    pod.send(2)
    pod.bus.losing = False
    await pod.check()
    assert pod.members.seen == [1, 2]


async def test_messages_that_the_history_has_lost_are_declared() -> None:
    """More messages were missed than are kept. The members get `lost` and then the later messages."""
    pod = Pod(history=Retention(size=3, ttl=60.0))
    await pod.open()
    pod.send()
    pod.bus.losing = True
    pod.send(5)
    pod.bus.losing = False
    pod.bus.doubt()
    await settle()
    pod.send()
    assert pod.members.seen == [1, "lost", 7]


async def test_a_room_without_history_declares_every_doubt() -> None:
    """Without history missed messages cannot be read, so members get `missed`."""
    pod = Pod(history=None)
    await pod.open()
    pod.send()
    pod.bus.doubt()
    pod.send()
    assert pod.members.seen == [1, "missed", 2]


async def test_a_new_epoch_is_declared() -> None:
    """Offsets of two epochs cannot be compared, so members get `lost`."""
    pod = Pod()
    await pod.open()
    pod.send(2)
    pod.exchange._histories.clear()
    pod.send()
    await settle()
    assert pod.members.seen == [1, 2, "lost"]
    pod.send()
    assert pod.members.seen == [1, 2, "lost", 4]


async def test_a_bus_that_is_away_is_asked_until_it_is_back() -> None:
    """A repair tries again until the bus answers. Later messages wait for it."""
    pod = Pod()
    await pod.open()
    pod.bus.losing = pod.bus.away = True
    pod.send(2)
    pod.bus.losing = False
    pod.send(2)
    await settle()
    assert pod.members.seen == []
    pod.bus.away = False
    await asyncio.wait(pod.recovery._tasks, timeout=5)
    assert pod.members.seen == [1, 2, 3, 4]


async def test_a_joiner_gets_the_missed_messages_up_to_the_live_ones() -> None:
    """The messages from the history and those that came meanwhile are merged."""
    pod = Pod()
    await pod.open()
    pod.send(3)
    position = pod.recovery.position(ROOM)
    assert position is not None
    missed = asyncio.ensure_future(pod.recovery.missed(ROOM, Position(position.epoch, 1)))
    await asyncio.sleep(0)
    pod.send(2)
    found = await missed
    assert found is not None
    assert ([int(message.payload) for message in found.messages], found.level) == ([2, 3, 4, 5], True)


async def test_a_joiner_that_is_ahead_of_the_pod_waits_for_it() -> None:
    """A client that got more messages on another pod does not get them again."""
    pod = Pod()
    await pod.open()
    pod.send()
    pod.bus.delaying = True
    pod.send()
    top = pod.exchange.history(ROOM).top
    assert await pod.recovery.missed(ROOM, top) == Missed((), level=True)
    assert pod.members.seen == [1, 2]
    pod.bus.delaying = False
    pod.bus.catch_up()
    pod.send()
    assert pod.members.seen == [1, 2, 3]


@pytest.mark.parametrize("offset", [4, 99])
async def test_a_position_that_never_was_is_not_recovered(offset: int) -> None:
    """An offset after the last message is not recovered, and neither is a position of another epoch."""
    pod = Pod()
    await pod.open()
    pod.send(3)
    position = pod.recovery.position(ROOM)
    assert position is not None
    assert await pod.recovery.missed(ROOM, Position(position.epoch, offset)) is None
    assert await pod.recovery.missed(ROOM, Position("elsewhere", 1)) is None


steps = st.lists(
    st.sampled_from(["send", "send", "send", "lose", "hear", "delay", "late", "doubt", "away", "back", "settle"]),
    min_size=20,
    max_size=60,
)


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask a bus that is away again at once: these tests are not about the wait."""
    monkeypatch.setattr("forestay.core.rooms.recovery.RETRY", 0.001)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps)
def test_every_gap_is_declared(plan: list[str]) -> None:
    """In any sequence of faults members get ascending numbers, and a `resync` comes before every gap."""

    async def run() -> list[int | str]:
        pod = Pod(history=Retention(size=4, ttl=60.0))
        await pod.open()

        def late() -> None:
            pod.bus.delaying = False
            pod.bus.catch_up()

        actions: Mapping[str, Callable[[], object]] = {
            "send": pod.send,
            "lose": lambda: setattr(pod.bus, "losing", True),
            "hear": lambda: setattr(pod.bus, "losing", False),
            "delay": lambda: setattr(pod.bus, "delaying", True),
            "late": late,
            "doubt": pod.bus.doubt,
            "away": lambda: setattr(pod.bus, "away", True),
            "back": lambda: setattr(pod.bus, "away", False),
        }
        for step in plan:
            if step == "settle":
                await settle()
            else:
                actions[step]()
        for step in ("hear", "late", "back"):
            actions[step]()
        for task in list(pod.recovery._tasks):
            await asyncio.wait({task}, timeout=2)
        await pod.check()
        pod.send()
        await settle()
        await pod.recovery.stop()
        assert pod.members.seen[-1] == pod.sent
        return pod.members.seen

    last, declared = 0, False
    for entry in asyncio.run(run()):
        if isinstance(entry, str):
            declared = True
            continue
        assert entry == last + 1 or (declared and entry > last), entry
        last, declared = entry, False
