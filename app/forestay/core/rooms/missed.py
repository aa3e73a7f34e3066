"""Reads what joiners missed of a room: a part at a time, and once for all that ask the same."""

from asyncio import AbstractEventLoop, Task, shield
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from forestay.core.fanout.backlog import Backlog
from forestay.core.ports.bus import Bus, BusLost, Page, Query
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName


class View:
    """One room with history, as far as its members here were served."""

    __slots__ = (
        "held",
        "kept",
        "open",
        "overflowed",
        "position",
        "readers",
        "reads",
        "suspect",
        "tail",
        "waiting",
    )

    def __init__(self, kept: Retention) -> None:
        self.kept = kept
        self.open = True
        self.position: Position | None = None
        """The last message that the members were given; None until it is known."""
        self.held: Backlog[Message] | None = Backlog()
        """Messages that wait until the history is read; None while the view is complete."""
        self.overflowed = False
        """Whether there were too many of them. The history is then read once more."""
        self.waiting: list[Callable[[], None]] = []
        """Called once the view is complete."""
        self.readers = 0
        """Joins that read the history now."""
        self.tail: Backlog[Message] = Backlog()
        """The latest messages that were served while joins read the history."""
        self.reads: dict[Position, Task[Page | None]] = {}
        """Reads under way, by their start: who asks the same gets the same answer."""
        self.suspect: Position | None = None
        """The view's own position when the last check found that the room has another one."""

    def note(self, message: Message) -> None:
        """The members are given `message`, which has a position."""
        self.position = message.position
        if self.readers:
            self.tail.push(message, len(message.payload))


@dataclass(frozen=True, slots=True)
class Missed:
    """The next messages that a joiner missed."""

    messages: Sequence[Message]
    level: bool
    """Whether live messages follow. It holds until the caller awaits again."""


class MissedReader:
    """Reads the histories of rooms for those that join with a position."""

    def __init__(self, loop: AbstractEventLoop, bus: Bus, part_bytes: int) -> None:
        """`part_bytes`: bytes of messages that a joiner is given at once. One message always comes."""
        self._loop = loop
        self._bus = bus
        self._part_bytes = part_bytes

    async def read(self, room: RoomName, view: View, since: Position) -> Missed | None:
        """The next messages after `since`, up to the position of the view. Raises BusLost."""
        view.readers += 1
        try:
            read = view.reads.get(since)
            if read is None:
                read = view.reads[since] = self._loop.create_task(self._read_part(room, view, since))
                read.add_done_callback(lambda _: view.reads.pop(since))
            # Others may wait for the same read, so it goes on where this caller is cancelled.
            page = await shield(read)
        finally:
            view.readers -= 1
            tail = view.tail
            if not view.readers:
                view.tail = Backlog()
        if page is None:
            raise BusLost
        if page.whole and view.position is not None and not (page.top.offset or view.position.offset):
            # The room has no messages. Its epoch may be a newer one than the view's.
            return Missed((), level=True)
        if not page.whole or view.position is None or view.position.epoch != since.epoch:
            return None
        found = _follow(since, chain(page.messages, tail), view.position.offset, self._part_bytes)
        at = found[-1].position if found else since
        return Missed(found, level=at == view.position)

    async def _read_part(self, room: RoomName, view: View, since: Position) -> Page | None:
        """A page of the history after `since`; None where the bus is lost."""
        try:
            return await self._bus.history(room, Query(view.kept.size, since, budget=self._part_bytes), view.kept)
        except BusLost:
            return None


def _follow(since: Position, messages: Iterable[Message], last: int, budget: int) -> list[Message]:
    """The messages that follow on `since` without a gap, up to the offset `last`, in `budget` bytes of payload."""
    found: list[Message] = []
    at = since.offset
    for message in messages:
        there = message.position
        if there is None or there.epoch != since.epoch or not at < there.offset <= last:
            continue
        budget -= len(message.payload)
        if there.offset != at + 1 or (found and budget < 0):
            break
        at = there.offset
        found.append(message)
    return found
