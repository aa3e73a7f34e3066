"""What one write of a room has for its members: a shared buffer for each audience, and the exceptions."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from forestay.core.facts.traffic import Arrival
from forestay.core.fanout.audience import Audience
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.rooms import Room
from forestay.core.ports.transport import Transport


class Part:
    """What a pass writes to one audience."""

    __slots__ = ("audience", "own", "shared")

    def __init__(self, audience: Audience) -> None:
        """Nothing is pending for the audience after this."""
        self.audience = audience
        self.shared, self.own = audience.take()
        """`own`: the buffers of members that get another one than `shared`."""


class Batch:
    """What a pass writes to audiences of one room.

    One is made for nearly every message, so it is no dataclass: those have a constructor that is not compiled.
    """

    __slots__ = ("arrivals", "dropped", "parts", "position", "room", "tailed")

    def __init__(self, room: Room, audiences: Iterable[Audience], arrivals: list[Arrival]) -> None:
        """Take the pending frames of `audiences`. `arrivals`: the messages among them that are reported with it."""
        self.room = room
        self.position = room.position
        """The last message in it, or before it; None in rooms without history."""
        self.arrivals = arrivals
        self.dropped = 0
        """Slow members that it was not written to."""
        self.tailed = False
        """Whether there is a part of a tailed wire."""
        self.parts: list[Part] = []
        for audience in audiences:
            self.parts.append(Part(audience))
            if audience.tailed:
                self.tailed = True
        if room.resuming is not None:
            self._leave_out(room.resuming.members)

    def _leave_out(self, members: Iterable[Connection]) -> None:
        """Give `members` nothing of it."""
        for member in members:
            for part in self.parts:
                if member in part.audience.members:
                    part.own[member] = b""

    def of(self, connection: Connection) -> bytes:
        """What `connection` gets of it; empty where it was no member when the batch was taken, or is left out."""
        for part in self.parts:
            if connection in part.audience.members:
                return part.own.get(connection, part.shared)
        return b""


def take_all(rooms: Iterable[Room]) -> list[Batch]:
    """Take the pending frames of `rooms`. Nothing is pending after this, and they rest until `Rests.begin`."""
    batches = []
    for room in rooms:
        room.resting = True
        arrivals, room.arrivals = room.arrivals, []
        batches.append(Batch(room, room.audiences, arrivals))
    return batches


Due = dict[Connection, bytes | list[bytes]]
"""What each member gets: a buffer, or those of several rooms."""
Tailed = list[tuple[Batch, Part]]
"""The parts of tailed wires."""


def gather(batches: Iterable[Batch]) -> tuple[Due, Tailed]:
    """What each member of the rooms gets.

    The parts of tailed wires are left out and come beside it, because their members are gathered in another way.
    """
    due: Due = {}
    tailed: Tailed = []
    for batch in batches:
        for part in batch.parts:
            if part.audience.tailed:
                tailed.append((batch, part))
                continue
            shared, own = part.shared, part.own
            for member in part.audience.members:
                buffer = own.get(member, shared) if own else shared
                if not buffer:
                    continue
                found = due.get(member)
                if found is None:
                    due[member] = buffer
                elif isinstance(found, list):
                    found.append(buffer)
                else:
                    due[member] = [found, buffer]
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
    for member, data in due.items():
        if member in apart:
            rest[member] = data
        else:
            alike.members.append(member)
            alike.transports.append(member.transport)
            alike.buffers.append(b"".join(data) if isinstance(data, list) else data)
    return alike, rest, tailed


def _usual(batch: Batch) -> Alike | None:
    """What all members get; None where some get another buffer than the others of their audience, or are tailed."""
    alike: Alike | None = None
    if batch.tailed:
        return None
    for part in batch.parts:
        if part.own:
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
