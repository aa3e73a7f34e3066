"""The whole bus in one process: what `memory://` means, and the reference that every other bus must match.

Pods that share an Exchange hear each other, which is how one process can hold several. Nothing survives the process.
"""

from collections.abc import Callable

from app.core.ports import Heard, Outcome, Settled
from app.protocol.message import Message
from app.protocol.names import RoomName


class Exchange:
    """What the pods of one process have in common: who hears which room, in the order of their subscriptions."""

    def __init__(self) -> None:
        self.subscribers: dict[RoomName, dict[Heard, None]] = {}


class MemoryBus:
    """One pod's end of the exchange. A publish is accepted and heard before `publish` returns."""

    def __init__(self, exchange: Exchange | None = None) -> None:
        self._subscribers = (exchange or Exchange()).subscribers
        self._rooms: set[RoomName] = set()
        self._heard: Heard = _nobody
        self._closed = False

    def listen(self, heard: Heard) -> None:
        self._heard = heard

    def publish(self, message: Message, settled: Settled | None = None) -> None:
        if self._closed:
            outcome = Outcome.REFUSED
        else:
            outcome = Outcome.ACCEPTED
            for heard in tuple(self._subscribers.get(message.room, ())):
                heard(message)
        if settled is not None:
            settled(outcome)

    def subscribe(self, room: RoomName, confirmed: Callable[[], None]) -> None:
        self._rooms.add(room)
        self._subscribers.setdefault(room, {})[self._heard] = None
        confirmed()

    def unsubscribe(self, room: RoomName) -> None:
        self._rooms.discard(room)
        pods = self._subscribers.get(room)
        if pods is not None:
            pods.pop(self._heard, None)
            if not pods:
                del self._subscribers[room]

    async def close(self) -> None:
        self._closed = True
        for room in tuple(self._rooms):
            self.unsubscribe(room)


def _nobody(message: Message) -> None:
    """Heard before anybody listens: nothing can be subscribed yet, so this is never called with a message."""
