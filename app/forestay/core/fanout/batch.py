"""What one pass writes to the members of one room: a shared buffer for each audience, and the exceptions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from forestay.core.facts.traffic import Arrival
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.rooms import Room
from forestay.protocol.message import Position
from forestay.protocol.wire import Wire


@dataclass(slots=True)
class Part:
    """What a pass writes to one audience."""

    members: Mapping[Connection, None]
    shared: bytes
    own: dict[Connection, bytes]
    """The buffers of members that get another one than `shared`."""


@dataclass(slots=True)
class Batch:
    """What a pass writes to one room."""

    room: Room
    parts: dict[Wire, Part]
    position: Position | None
    """The last message in it, or before it; None in rooms without history."""
    arrivals: Sequence[Arrival]
    dropped: int = 0
    """Slow members that it was not written to."""

    def of(self, connection: Connection) -> bytes:
        """What `connection` gets of it; empty where it was no member when the batch was taken, or is left out."""
        part = self.parts.get(connection.wire)
        if part is None or connection not in part.members:
            return b""
        return part.own.get(connection, part.shared)


def take(room: Room) -> Batch:
    """Take the pending frames of `room`. Nothing is pending after this."""
    arrivals, room.arrivals = room.arrivals, []
    parts: dict[Wire, Part] = {}
    for wire, audience in room.audiences.items():
        shared, own = audience.take()
        parts[wire] = Part(audience.members, shared, own)
    if room.resuming is not None:
        for member in room.resuming.members:
            parts[member.wire].own[member] = b""
    return Batch(room, parts, room.position, arrivals)


def gather(batches: Iterable[Batch]) -> tuple[dict[Connection, list[bytes]], list[tuple[Batch, Part]]]:
    """The buffers for each member of the rooms, one for each room.

    The parts of tailed wires are left out and come beside it, because their members are gathered in another way.
    """
    due: dict[Connection, list[bytes]] = {}
    tailed: list[tuple[Batch, Part]] = []
    for batch in batches:
        for wire, part in batch.parts.items():
            if wire.tailed:
                tailed.append((batch, part))
                continue
            shared, own = part.shared, part.own
            for member in part.members:
                buffer = own.get(member, shared) if own else shared
                if not buffer:
                    continue
                chunks = due.get(member)
                if chunks is None:
                    due[member] = [buffer]
                else:
                    chunks.append(buffer)
    return due, tailed
