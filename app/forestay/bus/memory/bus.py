"""The whole bus in one process: what `memory://` means, and the reference that every other bus must match.

Pods that share an Exchange hear each other, which is how one process can hold several. Nothing survives the process.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from secrets import token_hex
from time import monotonic
from typing import Final

from msgspec.structs import replace

from forestay.core.ports.bus import Doubted, Heard, Outcome, Page, Query, Settled, Settlement
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName

KEY_TTL: Final = 300.0
"""Seconds for which a key publishes once."""

QUIET_TTL: Final = 24 * 3600.0
"""Seconds by which epoch and offset outlive the entries: whoever comes back later learns that they are gone."""

_SWEPT_FROM: Final = 1000


class _Past:
    """One room's history."""

    def __init__(self, now: float) -> None:
        self.epoch = token_hex(8)
        self.offset = 0
        self.entries: deque[Message] = deque()
        self.expires = now
        self.forgotten = now + QUIET_TTL
        self.keys: dict[tuple[str | None, str], tuple[float, Position]] = {}

    @property
    def top(self) -> Position:
        return Position(self.epoch, self.offset)

    def append(self, message: Message, kept: Retention, now: float) -> Message:
        self.expire(now)
        self.offset += 1
        message = replace(message, position=self.top)
        self.entries.append(message)
        while len(self.entries) > kept.size:
            self.entries.popleft()
        self.expires = now + kept.ttl
        self.forgotten = self.expires + QUIET_TTL
        return message

    def expire(self, now: float) -> None:
        if now >= self.expires:
            self.entries.clear()

    def earlier(self, sender: str | None, key: str, now: float) -> Position | None:
        """Where the message stands that `sender` published under `key` before."""
        for known, (expires, _) in list(self.keys.items()):
            if expires > now:
                break
            del self.keys[known]
        found = self.keys.get((sender, key))
        return found[1] if found else None

    def read(self, query: Query) -> Page:
        entries: Iterable[Message] = self.entries
        whole = True
        if query.since is not None:
            whole = query.since.epoch == self.epoch and self._reaches(query.since.offset)
            after = query.since.offset if query.since.epoch == self.epoch else 0
            found = [entry for entry in entries if _offset(entry) > after]
            return Page(self.top, found[: query.limit], whole, len(found) > query.limit)
        if query.before is not None and query.before.epoch == self.epoch:
            found = [entry for entry in entries if _offset(entry) < query.before.offset]
        else:
            found = list(entries)
        newest = found[-query.limit :] if query.limit else []
        return Page(self.top, newest, whole, len(found) > query.limit)

    def _reaches(self, offset: int) -> bool:
        """Whether everything after `offset` is still here."""
        if offset >= self.offset:
            return offset == self.offset
        return bool(self.entries) and _offset(self.entries[0]) <= offset + 1


class Exchange:
    """What the pods of one process have in common: who hears which room, and what the rooms remember."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.subscribers: dict[RoomName, dict[Heard, None]] = {}
        self._pasts: dict[RoomName, _Past] = {}
        self._swept_at = _SWEPT_FROM

    def past(self, room: RoomName) -> _Past:
        now = self.clock()
        past = self._pasts.get(room)
        if past is None or now >= past.forgotten:
            if len(self._pasts) >= self._swept_at:
                self._sweep(now)
            past = self._pasts[room] = _Past(now)
        past.expire(now)
        return past

    def _sweep(self, now: float) -> None:
        """Let go of what nobody came back for, each time their number has doubled."""
        self._pasts = {room: past for room, past in self._pasts.items() if now < past.forgotten}
        for past in self._pasts.values():
            past.expire(now)
        self._swept_at = max(_SWEPT_FROM, 2 * len(self._pasts))

    def keep_alive(self, room: RoomName) -> Position | None:
        """Where `room` stands; it is not forgotten for another while."""
        past = self._pasts.get(room)
        if past is None:
            return None
        past.forgotten = max(past.forgotten, self.clock() + QUIET_TTL)
        return past.top


class MemoryBus:
    """One pod's end of the exchange. A publish is accepted and heard before `publish` returns."""

    up: Final = True
    round_trip: Final = 0.0

    def __init__(self, exchange: Exchange | None = None) -> None:
        self._exchange = exchange or Exchange()
        self._rooms: set[RoomName] = set()
        self._heard: Heard = _nobody
        self._closed = False

    def listen(self, heard: Heard, doubted: Doubted) -> None:
        self._heard = heard

    def publish(
        self, message: Message, settled: Settled | None = None, *, kept: Retention | None = None, key: str | None = None
    ) -> None:
        settlement = Settlement(Outcome.REFUSED) if self._closed else self._accept(message, kept, key)
        if settled is not None:
            settled(settlement)

    def _accept(self, message: Message, kept: Retention | None, key: str | None) -> Settlement:
        if kept is not None:
            now = self._exchange.clock()
            past = self._exchange.past(message.room)
            if key is not None:
                earlier = past.earlier(message.sender, key, now)
                if earlier is not None:
                    return Settlement(Outcome.ACCEPTED, earlier)
            message = past.append(message, kept, now)
            if key is not None:
                past.keys[message.sender, key] = (now + KEY_TTL, past.top)
        for heard in tuple(self._exchange.subscribers.get(message.room, ())):
            heard(message)
        return Settlement(Outcome.ACCEPTED, message.position)

    def subscribe(self, room: RoomName, confirmed: Callable[[], None]) -> None:
        self._rooms.add(room)
        self._exchange.subscribers.setdefault(room, {})[self._heard] = None
        confirmed()

    def unsubscribe(self, room: RoomName) -> None:
        self._rooms.discard(room)
        pods = self._exchange.subscribers.get(room)
        if pods is not None:
            pods.pop(self._heard, None)
            if not pods:
                del self._exchange.subscribers[room]

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        return self._exchange.past(room).read(query)

    async def positions(self, rooms: Collection[RoomName]) -> Mapping[RoomName, Position]:
        found = ((room, self._exchange.keep_alive(room)) for room in rooms)
        return {room: position for room, position in found if position is not None}

    async def start(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        self._closed = True
        for room in tuple(self._rooms):
            self.unsubscribe(room)


def _offset(entry: Message) -> int:
    return entry.position.offset if entry.position else 0


def _nobody(message: Message) -> None:
    """Heard before anybody listens: nothing can be subscribed yet, so this is never called with a message."""
