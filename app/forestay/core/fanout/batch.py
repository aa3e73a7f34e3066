"""What one pass writes to the members of one room: a shared buffer for each audience, and the exceptions."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from forestay.core.facts.traffic import Arrival
from forestay.core.fanout.audience import Audience
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.rooms import Room
from forestay.core.ports.transport import Transport
from forestay.protocol.message import Position
from forestay.protocol.wire import Wire


@dataclass(slots=True)
class Part:
    """What a pass writes to one audience."""

    audience: Audience
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
        if part is None or connection not in part.audience.members:
            return b""
        return part.own.get(connection, part.shared)


def take_all(rooms: Iterable[Room]) -> list[Batch]:
    """Take the pending frames of `rooms`. Nothing is pending after this, and they rest until `Rests.begin`."""
    batches = []
    for room in rooms:
        room.resting = True
        batches.append(_take(room))
    return batches


def _take(room: Room) -> Batch:
    arrivals, room.arrivals = room.arrivals, []
    parts: dict[Wire, Part] = {}
    for wire, audience in room.audiences.items():
        shared, own = audience.take()
        parts[wire] = Part(audience, shared, own)
    if room.resuming is not None:
        for member in room.resuming.members:
            parts[member.wire].own[member] = b""
    return Batch(room, parts, room.position, arrivals)


Due = dict[Connection, list[bytes]]
"""The buffers for each member, one for each room."""
Tailed = list[tuple[Batch, Part]]
"""The parts of tailed wires."""


def gather(batches: Iterable[Batch]) -> tuple[Due, Tailed]:
    """The buffers for each member of the rooms, one for each room.

    The parts of tailed wires are left out and come beside it, because their members are gathered in another way.
    """
    due: Due = {}
    tailed: Tailed = []
    for batch in batches:
        for wire, part in batch.parts.items():
            if wire.tailed:
                tailed.append((batch, part))
                continue
            shared, own = part.shared, part.own
            for member in part.audience.members:
                buffer = own.get(member, shared) if own else shared
                if not buffer:
                    continue
                chunks = due.get(member)
                if chunks is None:
                    due[member] = [buffer]
                else:
                    chunks.append(buffer)
    return due, tailed


@dataclass(slots=True)
class Alike:
    """Members that are all written to in one way, each with its transport and its buffer at the same place."""

    members: list[Connection]
    transports: list[Transport]
    buffers: list[bytes]


def gather_alike(batches: Sequence[Batch], apart: Collection[Connection]) -> tuple[Alike, Due, Tailed]:
    """The same for large rooms: what all members get but those in `apart`, what these get, and the tailed parts."""
    usual = None if apart or len(batches) != 1 else _usual(batches[0])
    if usual is not None:
        return usual, {}, []
    due, tailed = gather(batches)
    alike = Alike([], [], [])
    rest: Due = {}
    for member, chunks in due.items():
        if member in apart:
            rest[member] = chunks
        else:
            alike.members.append(member)
            alike.transports.append(member.transport)
            alike.buffers.append(chunks[0] if len(chunks) == 1 else b"".join(chunks))
    return alike, rest, tailed


def _usual(batch: Batch) -> Alike | None:
    """What all members get; None where some get another buffer than the others of their audience, or are tailed."""
    alike: Alike | None = None
    for wire, part in batch.parts.items():
        if part.own or wire.tailed:
            return None
        if not part.shared:
            continue
        recipients = part.audience.recipients()
        buffers = [part.shared] * len(recipients.members)
        if alike is None:
            # The lists themselves: a copy would touch each of a thousand objects.
            alike = Alike(recipients.members, recipients.transports, buffers)
        else:
            alike.members = alike.members + recipients.members
            alike.transports = alike.transports + recipients.transports
            alike.buffers = alike.buffers + buffers
    return alike
