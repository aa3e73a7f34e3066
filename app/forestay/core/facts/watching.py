"""What somebody looks at: the traffic of rooms, and the frames of connections and rooms. Else nothing is counted.

The core asks `active` for each pass and each message. That is all it costs then.
"""

from collections.abc import Sequence
from typing import Final, final

from forestay.core.facts.subject import Subject
from forestay.core.facts.traffic import Arrival
from forestay.core.facts.watch import Watch
from forestay.protocol import replies, requests
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName, is_personal

PERIOD: Final = 5.0
"""Seconds. The first look after so many begins another period. Numbers are of the present one and the one before it."""
PATIENCE: Final = 15.0
"""Seconds after which nothing is counted any more, where nobody has looked again."""

# Rooms that are counted in one period. Others that write in it later are not.
_MOST_ROOMS: Final = 10_000


@final
class RoomCount:
    """What was written in one room."""

    __slots__ = ("bytes", "deliveries", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.deliveries = 0
        """Messages times members."""
        self.bytes = 0
        """Of the payloads, each once."""

    def add(self, other: "RoomCount") -> None:
        """Add the numbers of `other`."""
        self.messages += other.messages
        self.deliveries += other.deliveries
        self.bytes += other.bytes


@final
class Watching:
    """Who looks at this pod."""

    def __init__(self) -> None:
        self.active = False
        """Whether anybody looks."""
        self._counting = False
        self._rooms: dict[RoomName, RoomCount] = {}
        self._before: dict[RoomName, RoomCount] = {}
        self._since = self._since_before = 0.0
        self._looked_at = 0.0
        self._of_connections: list[Watch] = []
        self._of_rooms: list[Watch] = []

    def add(self, watch: Watch) -> None:
        """Give `watch` what it is for, from now on."""
        (self._of_connections if watch.subject is not None else self._of_rooms).append(watch)
        self._settle()

    def remove(self, watch: Watch) -> None:
        """Give `watch` nothing more."""
        (self._of_connections if watch.subject is not None else self._of_rooms).remove(watch)
        self._settle()

    def came(self, subject: Subject, request: requests.Request, size: int) -> None:
        """A client has sent a request in a message of `size` bytes."""
        for watch in self._of(subject):
            watch.request(subject, request, size)

    def came_otherwise(self, subject: Subject, kind: str, size: int) -> None:
        """A client has sent something that is no request: `unreadable`, or a `pong` of its wire."""
        for watch in self._of(subject):
            watch.other(subject, kind, size)

    def published(self, message: Message) -> None:
        """A client or a backend publishes a message on this pod."""
        for watch in self._of_rooms:
            if watch.room == message.room:
                watch.published(message)

    def replied(self, subject: Subject, reply: replies.Reply) -> None:
        """A client is written a reply."""
        for watch in self._of(subject):
            watch.reply(subject, reply)

    def replayed(self, subject: Subject, message: Message) -> None:
        """A client is written a message that it missed."""
        for watch in self._of(subject):
            watch.message(subject, message, lost=False)

    def _of(self, subject: Subject) -> list[Watch]:
        return [watch for watch in self._of_connections if watch.subject is subject]

    def resynced(self, reply: replies.Resync) -> None:
        """All members of a room are told that messages are lost."""
        for watch in self._of_connections:
            if watch.subject is not None and reply.room in watch.subject.rooms:
                watch.reply(watch.subject, reply)

    def written(self, name: RoomName, arrivals: Sequence[Arrival]) -> None:
        """A pass has written these messages of a room to its members on this pod."""
        for watch in self._of_connections:
            subject = watch.subject
            if subject is not None and name in subject.rooms:
                lost = subject.missed is not None and name in subject.missed
                for message, _, _ in arrivals:
                    if subject.gets(message):
                        watch.message(subject, message, lost=lost)
        if self._counting and arrivals and not is_personal(name):
            self._count(name, arrivals)

    def _count(self, name: RoomName, arrivals: Sequence[Arrival]) -> None:
        count = self._rooms.get(name)
        if count is None:
            if len(self._rooms) >= _MOST_ROOMS:
                return
            count = self._rooms[name] = RoomCount()
        for message, recipients, _ in arrivals:
            count.messages += 1
            count.deliveries += recipients
            count.bytes += len(message.payload)

    def look_at_rooms(self, now: float) -> float:
        """Count the traffic of rooms from now on, for as long as somebody looks. `now`: loop time.

        Returns the seconds for which `rooms` counts by then; 0 where nobody has looked for a while.
        """
        self._looked_at = now
        if not self._counting:
            self._counting = True
            self._since = self._since_before = now
            self._settle()
        elif now - self._since >= PERIOD:
            self._rooms, self._before = {}, self._rooms
            self._since, self._since_before = now, self._since
        return now - self._since_before

    def rooms(self) -> dict[RoomName, RoomCount]:
        """What was written in the rooms in that time."""
        found: dict[RoomName, RoomCount] = {}
        for counts in (self._before, self._rooms):
            for name, count in counts.items():
                total = found.get(name)
                if total is None:
                    total = found[name] = RoomCount()
                total.add(count)
        return found

    def rest(self, now: float) -> float:
        """Count no more where nobody has looked for a while. Returns the seconds after which to ask again, or 0."""
        left = self._looked_at + PATIENCE - now
        if left > 0.0:
            return left
        self._counting = False
        self._rooms, self._before = {}, {}
        self._settle()
        return 0.0

    def _settle(self) -> None:
        self.active = self._counting or bool(self._of_connections) or bool(self._of_rooms)
