"""The rooms that have members on this pod. A room has an audience for each wire among its members, or several."""

from collections.abc import Iterable
from typing import Final

from forestay.core.facts.traffic import Arrival
from forestay.core.fanout.audience import MOST_MEMBERS, Audience
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.resuming import Deferred, Resuming
from forestay.core.rules.policies import Policies, Policy
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.wire import Wire

LARGE_ROOM: Final = 64
"""Members on one wire from which on a room is large."""


class Room:
    """One room on this pod."""

    __slots__ = ("arrivals", "audiences", "name", "policy", "position", "resting", "resuming")

    def __init__(self, name: RoomName, policy: Policy) -> None:
        self.name = name
        self.policy = policy
        self.audiences: list[Audience] = []
        """Only those with members. Those of one wire follow each other."""
        self.arrivals: list[Arrival] = []
        """The messages among the pending frames."""
        self.resting = False
        """Whether a pass writes to the room, or did a moment ago, so that the next one waits.

        Written by `take_all`, LargePass and Rests.
        """
        self.position: Position | None = None
        """The last message that was queued for the members; None in rooms without history. Written by Delivery."""
        self.resuming: Resuming | None = None
        """The members that are still sent what they missed, if there are any."""

    @property
    def size(self) -> int:
        """The number of members."""
        return sum(len(audience.members) for audience in self.audiences)

    @property
    def large(self) -> bool:
        """Whether writing to all members takes so long that others would notice: LARGE_ROOM of them on one wire."""
        members = 0
        wire: Wire | None = None
        for audience in self.audiences:
            if audience.wire is not wire:
                members, wire = 0, audience.wire
            members += len(audience.members)
            if members >= LARGE_ROOM:
                return True
        return False

    def add(self, member: Connection) -> None:
        """Let `member` in. It gets the messages from now on."""
        wire, end = member.wire, len(self.audiences)
        for at, audience in enumerate(self.audiences):
            if audience.wire is wire:
                if len(audience.members) < MOST_MEMBERS:
                    audience.add(member)
                    return
                end = at + 1
        audience = Audience(wire, wire if self.policy.compress else wire.plain)
        audience.add(member)
        self.audiences.insert(end, audience)

    def remove(self, member: Connection) -> None:
        """Take `member` out."""
        audience = self._audience(member)
        audience.remove(member)
        if not audience.members:
            self.audiences.remove(audience)
        self._forget(member)

    def defer(self, member: Connection, offset: int) -> Deferred:
        """Give `member` no messages until `go_live`. Returns those that no history has and that come meanwhile.

        `offset`: of the last message that was delivered here.
        """
        if self.resuming is None:
            self.resuming = Resuming(offset)
        deferred = self.resuming.members[member] = Deferred()
        return deferred

    def is_live(self, member: Connection) -> bool:
        """Whether `member` gets the messages as they come, because it is not still sent what it missed."""
        return self.resuming is None or member not in self.resuming.members

    def start(self, position: Position | None) -> None:
        """Note where the messages for the first member start."""
        self.position = position

    def go_live(self, member: Connection) -> None:
        """Give `member` the messages that are queued from now on."""
        self._forget(member)
        self._audience(member).skip_pending(member)

    def _audience(self, member: Connection) -> Audience:
        for audience in self.audiences:
            if member in audience.members:
                return audience
        raise RuntimeError("a member is in no audience")

    def _forget(self, member: Connection) -> None:
        if self.resuming is not None:
            self.resuming.members.pop(member, None)
            if not self.resuming.members:
                self.resuming = None

    def owed(self, member: Connection) -> bytes:
        """The pending frames for `member`, joined; empty where there are none."""
        if not self.is_live(member):
            return b""
        audience = self._audience(member)
        return audience.owed(member) if audience.pending else b""


class Rooms:
    """All rooms with members on this pod, by name."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._rooms: dict[RoomName, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def all(self) -> Iterable[Room]:
        """Every room."""
        return self._rooms.values()

    def get(self, name: RoomName) -> Room | None:
        """The room called `name`, or None where it has no member here."""
        return self._rooms.get(name)

    def of(self, connection: Connection) -> list[Room]:
        """The rooms that `connection` is in."""
        return [room for name in connection.rooms if (room := self._rooms.get(name)) is not None]

    def enter(self, name: RoomName) -> Room:
        """The room called `name`. It is made for its first member."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, self._policies.of(name))
        return room

    def discard(self, room: Room) -> None:
        """Forget `room`, which its last member has left."""
        del self._rooms[room.name]
