"""Keeps the bus subscribed to the rooms that have members on this pod.

The first member of a room waits until the bus confirms the subscription and the room's position is known. Members that
come meanwhile wait too; later ones enter at once. When the last member leaves, the subscription stays for a second.
Without that a page reload would cost two round trips and a read of the history.
"""

from asyncio import TimerHandle
from collections.abc import Callable
from enum import Enum
from typing import Final

from forestay.core.ports.bus import Bus
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.recovery import Recovery
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName

LINGER: Final = 1.0
"""Seconds for which a subscription outlives the last member."""

Callback = Callable[[], None]


class _Stage(Enum):
    SUBSCRIBING = "the bus has not confirmed"
    OPENING = "the bus has confirmed, and the position is being read"
    OPEN = "members can enter"
    CLOSED = "the pod has unsubscribed"


class _Subscription:
    """The subscription to one room: how far it is, and the subscriber that the bus delivers to."""

    __slots__ = ("_name", "_recovery", "holders", "linger", "stage", "waiting")

    def __init__(self, name: RoomName, recovery: Recovery) -> None:
        self._name = name
        self._recovery = recovery
        self.holders = 1
        """Members and pending joins. While there are any, the subscription stays."""
        self.stage = _Stage.SUBSCRIBING
        self.waiting: dict[Callback, None] = {}
        """Called once members can enter, in this order."""
        self.linger: TimerHandle | None = None
        """Ends the subscription when it fires. None while there are holders."""

    def confirmed(self) -> None:
        if self.stage is _Stage.SUBSCRIBING:
            self.stage = _Stage.OPENING
            self._recovery.open(self._name, self._opened)

    def received(self, message: Message) -> None:
        self._recovery.receive(message)

    def doubted(self) -> None:
        self._recovery.doubt(self._name)

    def close(self) -> None:
        """The pod unsubscribes. The bus may still confirm, and the position may still be read; both are ignored."""
        self.stage = _Stage.CLOSED

    def _opened(self) -> None:
        if self.stage is _Stage.OPENING:
            self.stage = _Stage.OPEN
            waiting, self.waiting = self.waiting, {}
            for ready in waiting:
                ready()


class Subscriptions:
    """All subscriptions of this pod to rooms."""

    def __init__(self, runtime: Runtime, bus: Bus, recovery: Recovery) -> None:
        self._loop = runtime.loop
        self._bus = bus
        self._recovery = recovery
        self._rooms: dict[RoomName, _Subscription] = {}

    def rooms(self) -> list[RoomName]:
        """The rooms that this pod is subscribed to, or is about to be."""
        return list(self._rooms)

    def hold(self, name: RoomName, ready: Callback) -> None:
        """Subscribe to `name` until `release`. `ready` is called once members can enter; it may be called at once."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = _Subscription(name, self._recovery)
            room.waiting[ready] = None
            self._bus.subscribe(name, room)
            return
        room.holders += 1
        if room.linger is not None:
            room.linger.cancel()
            room.linger = None
        if room.stage is _Stage.OPEN:
            ready()
        else:
            room.waiting[ready] = None

    def release(self, name: RoomName, ready: Callback | None = None) -> None:
        """Undo one `hold`. `ready`: that of the `hold`, where it may not have been called yet; it never is then."""
        room = self._rooms.get(name)
        if room is None:
            raise RuntimeError("a room is released that was not held")
        if ready is not None:
            room.waiting.pop(ready, None)
        room.holders -= 1
        if not room.holders:
            room.linger = self._loop.call_later(LINGER, self._unsubscribe, name, room)

    def close(self) -> None:
        """End the subscriptions without holders, and do not wait for `LINGER`."""
        for name, room in list(self._rooms.items()):
            if room.linger is not None:
                room.linger.cancel()
                self._unsubscribe(name, room)

    def _unsubscribe(self, name: RoomName, room: _Subscription) -> None:
        # The timer refers to the room: as a cycle both would wait for the garbage collector.
        room.linger = None
        if self._rooms.get(name) is room:
            del self._rooms[name]
            room.close()
            self._recovery.close(name)
            self._bus.unsubscribe(name)
