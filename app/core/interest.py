"""Keeps the bus subscribed to exactly the rooms that somebody on this pod is in.

The first member of a room waits for the bus to confirm, and so does everybody who comes meanwhile; later ones walk in.
"""

from collections.abc import Callable

from app.core.ports import Bus
from app.protocol.names import RoomName

Then = Callable[[], None]


class Interest:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: dict[RoomName, list[Then]] = {}
        self._heard: set[RoomName] = set()

    def want(self, room: RoomName, then: Then) -> None:
        """Call `then` once this pod hears `room`, at once where it does already."""
        if room in self._heard:
            then()
        elif room in self._waiting:
            self._waiting[room].append(then)
        else:
            self._waiting[room] = [then]
            self._bus.subscribe(room, lambda: self._confirmed(room))

    def lose(self, room: RoomName) -> None:
        """Nobody on this pod is in `room` any more."""
        if room in self._heard:
            self._heard.remove(room)
            self._bus.unsubscribe(room)

    def _confirmed(self, room: RoomName) -> None:
        self._heard.add(room)
        for then in self._waiting.pop(room, ()):
            then()
