"""The bus within one process: what `memory://` selects, and the reference that every other bus must match.

Pods that share an Exchange receive each other's messages, so one process can hold several pods. Nothing survives the
process.
"""

from collections.abc import Callable, Collection, Mapping
from secrets import token_hex
from time import monotonic
from typing import Final

from forestay.bus.memory.history import History
from forestay.bus.memory.webhooks import MemoryEvents
from forestay.core.ports.bus import Cause, Forgotten, Outcome, Page, Query, Settled, Settlement, Subscriber
from forestay.core.rules.policies import KEY_TTL, QUIET_TTL, Retention
from forestay.protocol.message import Message, content_digest
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position

# Seconds for which the first epoch stays: at most half of what a history is remembered.
_SPAN: Final = QUIET_TTL / 2

_ACCEPTED: Final = Settlement(Outcome.ACCEPTED)

# Histories from which on those that expired are deleted.
_MIN_SWEEP: Final = 1000


class Exchange:
    """What the pods of one process share: the subscribers and the histories of rooms."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.subscribers: dict[RoomName, dict[MemoryBus, Subscriber]] = {}
        self._histories: dict[RoomName, History] = {}
        self._sweep_at = _MIN_SWEEP
        self._seed = token_hex(8)
        self._seeded = clock()
        self._seed_used = False

    def history(self, room: RoomName) -> History:
        """The history of `room`, which is created if there is none."""
        history = self.find(room)
        if history is None:
            now = self.clock()
            if len(self._histories) >= self._sweep_at:
                self._sweep(now)
            history = self._histories[room] = History(self._first_epoch(), now)
            self._seed_used = True
        return history

    def find(self, room: RoomName) -> History | None:
        """The history of `room`; None if there is none."""
        history = self._histories.get(room)
        now = self.clock()
        if history is None or now >= history.forgotten:
            return None
        history.expire(now)
        return history

    def start_of(self, since: Position | None) -> Page:
        """The page of a room without messages. Its epoch is the same for all of them; the first message takes it."""
        epoch = self._first_epoch()
        # The epoch of the span before is as good: what the room had since then could not be forgotten yet.
        if since is not None and since.epoch == self._first_epoch(ago=1):
            epoch = since.epoch
        return Page(Position(epoch, 0), (), whole=since in (None, Position(epoch, 0)), more=False)

    def _first_epoch(self, ago: int = 0) -> str:
        """The first epoch, `ago` spans ago. No room gets the same one twice."""
        if self._seed_used and not self._histories:
            self._seed, self._seeded, self._seed_used = token_hex(8), self.clock(), False
        return f"{self._seed}{int((self.clock() - self._seeded) // _SPAN) - ago:x}"

    def _sweep(self, now: float) -> None:
        """Delete the histories that expired. The next sweep comes when twice as many are left."""
        self._histories = {room: history for room, history in self._histories.items() if now < history.forgotten}
        for history in self._histories.values():
            history.expire(now)
        self._sweep_at = max(_MIN_SWEEP, 2 * len(self._histories))

    def keep_alive(self, room: RoomName) -> Position | None:
        """The position of `room`; None without a history. Renews the expiry of epoch and offset."""
        history = self.find(room)
        if history is None:
            return None
        history.forgotten = max(history.forgotten, self.clock() + QUIET_TTL)
        return history.top


class MemoryBus:
    """The bus of one pod. A message is accepted and delivered to all pods before `publish` returns."""

    up: Final = True
    round_trip: Final = 0.0

    def __init__(self, exchange: Exchange | None = None, events: MemoryEvents | None = None) -> None:
        """`events`: where events for the receiver of webhooks wait; None where there is no receiver."""
        self._exchange = exchange or Exchange()
        self.events = events
        self._rooms: set[RoomName] = set()
        self._closed = False

    def publish(
        self,
        message: Message,
        settled: Settled | None = None,
        *,
        kept: Retention | None = None,
        key: str | None = None,
        create: bool = True,
        told: bytes | None = None,
    ) -> None:
        if self._closed:
            settlement = Settlement(Outcome.REFUSED)
        elif kept is not None and not create and self._exchange.find(message.room) is None:
            settlement = Settlement(Outcome.REFUSED, cause=Cause.NEW_ROOM)
        else:
            settlement = self._accept(message, kept, key, told)
        if settled is not None:
            settled(settlement)

    def _accept(self, message: Message, kept: Retention | None, key: str | None, told: bytes | None) -> Settlement:
        if kept is not None:
            now = self._exchange.clock()
            history = self._exchange.history(message.room)
            if key is not None:
                earlier = history.earlier(message, key, now)
                if earlier is not None:
                    return earlier
            message = history.append(message, kept, now)
            if key is not None:
                history.keys[message.sender, key] = (now + KEY_TTL, history.top, content_digest(message))
        self.tell(told, message.position)
        pods = self._exchange.subscribers.get(message.room)
        if pods is not None:
            for subscriber in tuple(pods.values()):
                subscriber.received(message)
        position = message.position
        return _ACCEPTED if position is None else Settlement(Outcome.ACCEPTED, position)

    def tell(self, told: bytes | None, position: Position | None = None) -> None:
        """Add an event for the receiver of webhooks, where there is one."""
        if told is not None and self.events is not None:
            self.events.add(told, position)

    def subscribe(self, room: RoomName, subscriber: Subscriber) -> None:
        self._rooms.add(room)
        self._exchange.subscribers.setdefault(room, {})[self] = subscriber
        subscriber.confirmed()

    def unsubscribe(self, room: RoomName) -> None:
        self._rooms.discard(room)
        pods = self._exchange.subscribers.get(room)
        if pods is not None:
            pods.pop(self, None)
            if not pods:
                del self._exchange.subscribers[room]

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        found = self._exchange.find(room)
        return self._exchange.start_of(query.since) if found is None else found.read(query)

    async def forget(self, room: RoomName) -> Forgotten:
        found = self._exchange.find(room)
        return Forgotten(0, None) if found is None else found.forget()

    async def positions(self, rooms: Collection[RoomName]) -> Mapping[RoomName, Position]:
        found = ((room, self._exchange.keep_alive(room)) for room in rooms)
        return {room: position for room, position in found if position is not None}

    async def start(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        self._closed = True
        for room in tuple(self._rooms):
            self.unsubscribe(room)
