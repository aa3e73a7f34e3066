"""Reads what joiners missed of a room: a part at a time, and once for all that ask the same."""

from asyncio import AbstractEventLoop, shield
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from forestay.core.fanout.backlog import Backlog
from forestay.core.ports.bus import Bus, BusLost, Page, Query
from forestay.core.rooms.view import View
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position


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

    async def read(self, room: RoomName, view: View, since: Position, part_bytes: int | None) -> Missed | None:
        """The next messages after `since`, up to the position of the view. Raises BusLost.

        `part_bytes`: bytes of them at most, where it is not as many as usual. One message always comes.
        """
        most = part_bytes or self._part_bytes
        key = (since, most)
        view.readers += 1
        try:
            read = view.reads.get(key)
            if read is None:
                read = view.reads[key] = self._loop.create_task(self._read_part(room, view, since, most))
                read.add_done_callback(lambda _: view.reads.pop(key))
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
        found = _follow(since, chain(page.messages, tail), view.position.offset, most)
        at = found[-1].position if found else since
        return Missed(found, level=at == view.position)

    async def _read_part(self, room: RoomName, view: View, since: Position, most: int) -> Page | None:
        """A page of the history after `since`; None where the bus is lost."""
        try:
            return await self._bus.history(room, Query(view.kept.size, since, max_bytes=most), view.kept)
        except BusLost:
            return None


def _follow(since: Position, messages: Iterable[Message], last: int, max_bytes: int) -> list[Message]:
    """The messages that follow on `since` without a gap, up to the offset `last`, in `max_bytes` of payload."""
    found: list[Message] = []
    at, left = since.offset, max_bytes
    for message in messages:
        there = message.position
        if there is None or there.epoch != since.epoch or not at < there.offset <= last:
            continue
        left -= len(message.payload)
        if there.offset != at + 1 or (found and left < 0):
            break
        at = there.offset
        found.append(message)
    return found
