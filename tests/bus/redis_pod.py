"""A pod with a Redis bus that has short timeouts, and everything that the bus has called back."""

import asyncio
import secrets
from collections.abc import Callable

from forestay.bus.redis.bus import BusLimits, RedisBus
from forestay.bus.redis.guard import TRUSTING, Guard
from forestay.core.ports.bus import Query, Settlement
from forestay.core.ports.observer import Observer
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.support.subscriber import FunctionSubscriber
from tests.support.tasks import PlainTasks

ROOM = RoomName("chat.lobby")
KEPT = Retention(size=10, ttl=60.0)


class Pod:
    def __init__(self, url: str, timeout: float = 10.0, probe_interval: float = 2.0, guard: Guard = TRUSTING) -> None:
        self.events: list[str] = []
        self.heard: list[str] = []
        self.doubted: list[RoomName] = []
        self.settled: list[Settlement] = []
        self.tasks = PlainTasks()
        self.bus = RedisBus(
            url,
            limits=BusLimits(timeout, probe_interval),
            observer=Events(self.events),
            new_id=new_id,
            tasks=self.tasks,
            guard=guard,
        )
        self.on_message: Callable[[Message], object] = lambda message: self.heard.append(message.payload.decode())
        """What the subscriptions made from now on do with a message."""
        self.on_doubt: Callable[[RoomName], object] = self.doubted.append

    def subscriber(self, room: RoomName, confirmed: Callable[[], object] = lambda: None) -> FunctionSubscriber:
        """Takes what the bus delivers of `room`."""
        on_doubt = self.on_doubt
        return FunctionSubscriber(confirmed, self.on_message, lambda: on_doubt(room))

    async def subscribe(self, room: RoomName = ROOM) -> None:
        confirmed = asyncio.Event()
        self.bus.subscribe(room, self.subscriber(room, confirmed.set))
        await confirmed.wait()

    def offer(self, text: str, kept: Retention | None = None, key: str | None = None) -> None:
        self.bus.publish(Message(ROOM, text.encode(), "now", "ada"), self.settled.append, kept=kept, key=key)

    async def publish(self, text: str, kept: Retention | None = None, key: str | None = None) -> Settlement:
        settlement: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()
        self.bus.publish(Message(ROOM, text.encode(), "now", "ada"), settlement.set_result, kept=kept, key=key)
        return await settlement

    async def top(self, room: RoomName = ROOM) -> Position:
        return (await self.bus.history(room, Query(0), KEPT)).top

    async def kept(self) -> list[str]:
        page = await self.bus.history(ROOM, Query(100), KEPT)
        return [message.payload.decode() for message in page.messages]


class Events(Observer):
    """An observer that records the events of the bus."""

    def __init__(self, events: list[str]) -> None:
        self._events = events

    def bus(self, event: str) -> None:
        self._events.append(event)


def new_id() -> str:
    return secrets.token_urlsafe(9)


async def until(true: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until `true` returns True. Raises TimeoutError after `within` seconds."""
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.01)


NewPod = Callable[..., Pod]
