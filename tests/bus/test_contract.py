"""What every bus promises; each implementation is one more row."""

import asyncio
from collections.abc import Callable

import pytest

from app.bus.memory import Exchange, MemoryBus
from app.core.ports import Bus, Outcome
from app.protocol.message import Message
from app.protocol.names import RoomName

ROOM, OTHER = RoomName("chat.a"), RoomName("chat.b")
Pods = Callable[[], Bus]


@pytest.fixture(params=["memory"])
def pods(request: pytest.FixtureRequest) -> Pods:
    """Makes buses of pods that hear each other."""
    exchange = Exchange()
    return lambda: MemoryBus(exchange)


class Pod:
    """One pod's end of a bus, and what it heard."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.heard: list[Message] = []
        bus.listen(self.heard.append)

    async def subscribe(self, room: RoomName) -> None:
        confirmed = asyncio.Event()
        self.bus.subscribe(room, confirmed.set)
        await asyncio.wait_for(confirmed.wait(), 10)

    async def publish(self, text: str, room: RoomName = ROOM) -> Outcome:
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.bus.publish(Message(room, text.encode(), "now"), settled.set_result)
        return await asyncio.wait_for(settled, 10)

    def texts(self) -> list[str]:
        return [message.payload.decode() for message in self.heard]


async def test_every_subscriber_hears_every_message_in_one_order(pods: Pods) -> None:
    """The publisher's own pod among them, by the same road."""
    first, second = Pod(pods()), Pod(pods())
    for pod in (first, second):
        await pod.subscribe(ROOM)
    for number in range(100):
        assert await (first, second)[number % 2].publish(str(number)) is Outcome.ACCEPTED
    assert first.texts() == second.texts() == [str(number) for number in range(100)]


async def test_only_subscribed_rooms_are_heard(pods: Pods) -> None:
    """Before `confirmed`, after `unsubscribe`, and in other rooms: nothing."""
    pod, other = Pod(pods()), Pod(pods())
    await other.publish("before")
    await pod.subscribe(ROOM)
    await other.publish("elsewhere", OTHER)
    await other.publish("heard")
    pod.bus.unsubscribe(ROOM)
    await other.publish("after")
    pod.bus.unsubscribe(ROOM)
    assert pod.texts() == ["heard"]


async def test_a_pod_may_leave_a_room_while_it_hears_it(pods: Pods) -> None:
    """The others still hear the message, once."""
    leaver, stayer = Pod(pods()), Pod(pods())
    leaver.bus.listen(lambda _: leaver.bus.unsubscribe(ROOM))
    for pod in (leaver, stayer):
        await pod.subscribe(ROOM)
    await stayer.publish("1")
    await stayer.publish("2")
    assert stayer.texts() == ["1", "2"]


async def test_a_closed_bus_refuses(pods: Pods) -> None:
    """A publish has an outcome whatever happens."""
    pod = Pod(pods())
    await pod.subscribe(ROOM)
    await pod.bus.close()
    assert await pod.publish("late") is Outcome.REFUSED
    assert pod.heard == []
