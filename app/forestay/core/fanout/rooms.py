"""Who on this pod is in which room, and what each room has waiting for its members.

Pending frames are shared by the whole room. Who joined since the last pass, or is to be left out of a message, is an
exception in a small map and not a reason to write early. A room exists while somebody on this pod is in it.
"""

from collections.abc import Iterable

from forestay.core.fanout.connection import Connection
from forestay.core.ports.observer import Arrival
from forestay.core.rules.policies import Policies, Policy
from forestay.protocol.names import RoomName


class Share:
    """A member's part of the pending frames, where it is not all of them."""

    __slots__ = ("start", "without")

    def __init__(self, start: int) -> None:
        self.start = start
        self.without: set[int] = set()

    def of(self, pending: list[bytes]) -> bytes:
        if self.without:
            return b"".join([pending[at] for at in range(self.start, len(pending)) if at not in self.without])
        return b"".join(pending[self.start :])


class Room:
    """One room as far as this pod is concerned."""

    __slots__ = ("arrivals", "members", "name", "pending", "policy", "resting", "shares")

    def __init__(self, name: RoomName, policy: Policy) -> None:
        self.name = name
        self.policy = policy
        self.members: dict[Connection, None] = {}
        self.pending: list[bytes] = []
        """Frames that the next pass writes to all members."""
        self.arrivals: list[Arrival] = []
        """The messages among them, where somebody watches."""
        self.shares: dict[Connection, Share] = {}
        self.resting = False
        """Written a moment ago: what is pending waits for the end of the rest."""

    def add(self, member: Connection) -> None:
        """Let `member` in; it hears what is queued from now on."""
        self.members[member] = None
        self.forgo(member)

    def remove(self, member: Connection) -> None:
        del self.members[member]
        self.shares.pop(member, None)

    def queue(self, frame: bytes) -> None:
        self.pending.append(frame)

    def queue_except(self, frame: bytes, left_out: Iterable[Connection]) -> None:
        """Queue `frame` for everybody but some members."""
        for member in left_out:
            self._share(member).without.add(len(self.pending))
        self.pending.append(frame)

    def owed(self, member: Connection) -> bytes:
        """The pending frames that are for `member`, joined."""
        share = self.shares.get(member)
        return share.of(self.pending) if share else b"".join(self.pending)

    def forgo(self, member: Connection) -> None:
        """From here on `member` is owed only what comes next."""
        if self.pending:
            self.shares[member] = Share(len(self.pending))

    def take(self) -> tuple[bytes, dict[Connection, bytes]]:
        """What is pending as one buffer, and the parts of those who get another one. Nothing is pending after this."""
        pending = self.pending
        parts = {member: share.of(pending) for member, share in self.shares.items()}
        self.pending = []
        self.shares = {}
        return (pending[0] if len(pending) == 1 else b"".join(pending)), parts

    def _share(self, member: Connection) -> Share:
        return self.shares.setdefault(member, Share(0))


class Rooms:
    """All rooms that somebody on this pod is in."""

    def __init__(self, policies: Policies) -> None:
        self.policies = policies
        self._rooms: dict[RoomName, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def all(self) -> Iterable[Room]:
        return self._rooms.values()

    def get(self, name: RoomName) -> Room | None:
        return self._rooms.get(name)

    def enter(self, name: RoomName) -> Room:
        """The room called `name`, made for its first member."""
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, self.policies.of(name))
        return room

    def discard(self, room: Room) -> None:
        """Forget `room`, which its last member has left."""
        del self._rooms[room.name]
