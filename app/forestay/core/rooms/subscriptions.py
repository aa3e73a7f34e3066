"""Keeps the bus subscribed to exactly the rooms that somebody on this pod is in, give or take a moment.

The first member of a room waits until the bus confirms and the room's position is known, and so does everybody who
comes meanwhile; later ones walk in. When the last one leaves, the subscription lingers: a reload would otherwise cost
two round trips and a look into the history.
"""

from asyncio import TimerHandle
from collections.abc import Callable
from enum import Enum
from typing import Final

from forestay.core.ports.bus import Bus
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.recovery import Recovery
from forestay.protocol.names import RoomName

LINGER: Final = 1.0
"""Seconds for which a room is still heard after its last member left."""

Then = Callable[[], None]


class _Stage(Enum):
    SUBSCRIBING = "the bus was asked"
    OPENING = "the bus hears it, its position is being read"
    HEARD = "members can walk in"


class _Room:
    """How far this pod's subscriptions in one room has come."""

    __slots__ = ("farewell", "holders", "stage", "waiting")

    def __init__(self) -> None:
        self.holders = 0
        """Members, and those who are about to be: while there are any, the room is heard."""
        self.stage = _Stage.SUBSCRIBING
        self.waiting: list[Then] = []
        self.farewell: TimerHandle | None = None


class Subscriptions:
    def __init__(self, runtime: Runtime, bus: Bus, recovery: Recovery) -> None:
        self._loop = runtime.loop
        self._bus = bus
        self.recovery = recovery
        self._rooms: dict[RoomName, _Room] = {}

    def rooms(self) -> list[RoomName]:
        """The rooms that this pod hears or is about to."""
        return list(self._rooms)

    def want(self, name: RoomName, then: Then) -> None:
        """Call `then` once this pod hears `name` and knows where it stands, at once where it does already.

        Whoever wants a room holds it until `lose`.
        """
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = _Room()
            room.holders = 1
            room.waiting.append(then)
            # The bus may confirm at once, or long after nobody is interested any more.
            self._bus.subscribe(name, lambda: self._confirmed(name, room))
            return
        room.holders += 1
        if room.farewell is not None:
            room.farewell.cancel()
            room.farewell = None
        if room.stage is _Stage.HEARD:
            then()
        else:
            room.waiting.append(then)

    def lose(self, name: RoomName) -> None:
        """One who wanted `name` does so no more."""
        room = self._rooms.get(name)
        if room is None:
            raise RuntimeError("a room that nobody wanted is lost")
        room.holders -= 1
        if not room.holders:
            room.farewell = self._loop.call_later(LINGER, self._leave, name, room)

    def close(self) -> None:
        """Linger no more: the pod is going."""
        for name, room in list(self._rooms.items()):
            if room.farewell is not None:
                room.farewell.cancel()
                self._leave(name, room)

    def _leave(self, name: RoomName, room: _Room) -> None:
        if self._rooms.get(name) is room:
            del self._rooms[name]
            self.recovery.close(name)
            self._bus.unsubscribe(name)

    def _confirmed(self, name: RoomName, room: _Room) -> None:
        if self._rooms.get(name) is room:
            room.stage = _Stage.OPENING
            self.recovery.open(name, lambda: self._opened(name, room))

    def _opened(self, name: RoomName, room: _Room) -> None:
        if self._rooms.get(name) is room:
            room.stage = _Stage.HEARD
            waiting, room.waiting = room.waiting, []
            for then in waiting:
                then()
