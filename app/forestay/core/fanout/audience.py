"""Members of a room that have the same wire, and the frames that the next pass writes to them.

All members share the pending frames. Exceptions are kept in a small map: a member that joined after the last pass gets
only the later frames, and a member that a message leaves out gets the others.
"""

from collections.abc import Iterable
from typing import Final

from forestay.core.fanout.connection import Connection
from forestay.core.ports.transport import Transport
from forestay.protocol.wire import Wire

MOST_MEMBERS: Final = 256
"""Members of one audience. More of them are in a second one, because a pass may take audiences one after the other."""


class _Share:
    """The part of the pending frames that one member gets, where it is not all of them."""

    __slots__ = ("start", "without")

    def __init__(self, start: int) -> None:
        self.start = start
        self.without: set[int] = set()

    def of(self, pending: list[bytes]) -> bytes:
        if len(self.without) == len(pending) - self.start:
            return b""
        if self.without:
            return b"".join([pending[at] for at in range(self.start, len(pending)) if at not in self.without])
        return b"".join(pending[self.start :])


class Recipients:
    """The members of an audience, and the transport of each at the same place. It never changes."""

    __slots__ = ("members", "transports")

    def __init__(self, members: list[Connection]) -> None:
        self.members = members
        self.transports: list[Transport] = [member.transport for member in members]


class Audience:
    """Members of one room on one wire, at most MOST_MEMBERS."""

    __slots__ = ("_recipients", "_shares", "encoder", "members", "pending", "tailed", "wire")

    def __init__(self, wire: Wire, encoder: Wire) -> None:
        self.wire = wire
        """The one of the members."""
        self.encoder = encoder
        """What encodes the messages: the wire, or `plain` of it where the room is not compressed."""
        self.tailed = wire.tailed
        self.members: dict[Connection, None] = {}
        """In the order in which they joined."""
        self.pending: list[bytes] = []
        """Frames that the next pass writes to all members."""
        self._shares: dict[Connection, _Share] = {}
        self._recipients: Recipients | None = None

    def add(self, member: Connection) -> None:
        """Let `member` in. It gets the frames that are queued from now on."""
        self.members[member] = None
        self._recipients = None
        self.skip_pending(member)

    def skip_pending(self, member: Connection) -> None:
        """Give `member` only the frames that are queued from now on."""
        self._shares.pop(member, None)
        if self.pending:
            self._shares[member] = _Share(len(self.pending))

    def remove(self, member: Connection) -> None:
        """Take `member` out. It gets none of the pending frames."""
        del self.members[member]
        self._recipients = None
        self._shares.pop(member, None)

    def queue(self, frame: bytes) -> None:
        """Queue `frame` for all members."""
        self.pending.append(frame)

    def queue_except(self, frame: bytes, left_out: Iterable[Connection]) -> None:
        """Queue `frame` for all members but those in `left_out`."""
        for member in left_out:
            self._shares.setdefault(member, _Share(0)).without.add(len(self.pending))
        self.pending.append(frame)

    def recipients(self) -> Recipients:
        """The members as lists, made once until one comes or goes."""
        recipients = self._recipients
        if recipients is None:
            recipients = self._recipients = Recipients(list(self.members))
        return recipients

    def owed(self, member: Connection) -> bytes:
        """The pending frames for `member`, joined."""
        share = self._shares.get(member)
        return share.of(self.pending) if share else b"".join(self.pending)

    def take(self) -> tuple[bytes, dict[Connection, bytes]]:
        """The pending frames as one buffer, and the own buffers of exceptions. Nothing is pending after this."""
        pending, shares = self.pending, self._shares
        self.pending = []
        own: dict[Connection, bytes] = {}
        if shares:
            own = {member: share.of(pending) for member, share in shares.items()}
            self._shares = {}
        return (pending[0] if len(pending) == 1 else b"".join(pending)), own
