"""What one room has for its members in one delivery pass, and what that comes to for each of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.rooms import Room
from forestay.core.ports.observer import Arrival


@dataclass(slots=True)
class Batch:
    """What one room has for its members in one pass."""

    room: Room
    shared: bytes
    own: dict[Connection, bytes]
    arrivals: Sequence[Arrival]
    dropped: int = 0
    """Members that it was not written to, because they are slow."""

    def part(self, member: Connection) -> bytes:
        return self.own.get(member, self.shared)


def take(room: Room) -> Batch:
    room.resting = True
    arrivals, room.arrivals = room.arrivals, []
    return Batch(room, *room.take(), arrivals)


def gather(batches: Iterable[Batch]) -> dict[Connection, list[bytes]]:
    """What each member of the rooms is to be written, room by room."""
    due: dict[Connection, list[bytes]] = {}
    for batch in batches:
        shared, own = batch.shared, batch.own
        for member in batch.room.members:
            part = own.get(member, shared) if own else shared
            if not part:
                continue
            chunks = due.get(member)
            if chunks is None:
                due[member] = [part]
            else:
                chunks.append(part)
    return due
