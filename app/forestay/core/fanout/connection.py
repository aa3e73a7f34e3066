"""One client as the core sees it: who it is, which rooms it is in, what it is owed.

A plain record: the modules that act on a part of it say what that part means. A pod holds ten thousand of these, so it
has slots, and what most clients never use is None until they do.
"""

from forestay.core.ports.observer import Source
from forestay.core.ports.transport import Transport
from forestay.core.rules.access import Identity
from forestay.core.rules.rate_limit import TokenBucket
from forestay.protocol.codes import Ending
from forestay.protocol.names import RoomName, is_personal


class Connection:
    __slots__ = (
        "answers",
        "bindings",
        "bucket",
        "congested",
        "connected_at",
        "ended",
        "heard_at",
        "id",
        "identity",
        "joining",
        "leave_at",
        "missed",
        "pinged_at",
        "relocating",
        "rooms",
        "socket",
    )

    def __init__(self, id: str, identity: Identity, socket: Transport, bucket: TokenBucket, now: float) -> None:
        self.id = id
        """Unique among all pods."""
        self.identity = identity
        self.socket = socket
        self.bucket = bucket
        self.connected_at = now
        self.heard_at = now
        """When the client last gave a sign of life."""
        self.pinged_at: float | None = None
        """When a ping was sent that nothing has answered yet."""
        self.leave_at: float | None = None
        """When it will have been here for long enough and is asked to connect anew."""
        self.relocating: str | None = None
        """Why it was asked to connect elsewhere; such a one no longer counts for its user."""
        self.rooms: set[RoomName] = set()
        self.joining: dict[RoomName, object] | None = None
        """Rooms that it asked to join and is not in yet; what waits for that is Membership's."""
        self.bindings: dict[int, RoomName] | None = None
        """Which room a binary type is for."""
        self.answers: list[bytes] = []
        """Frames for this client alone, written before room messages on the next pass."""
        self.missed: set[RoomName] | None = None
        """Rooms whose messages were dropped because the client is slow; each is owed a `resync`."""
        self.congested = False
        """Answers pile up unread: nothing more is read from this client until they are taken."""
        self.ended: Ending | None = None

    @property
    def source(self) -> Source:
        """Where the last thing it said came from."""
        return Source(self.heard_at, self.id)

    def public_rooms(self) -> list[RoomName]:
        """The rooms it is in that others can be in too."""
        return [name for name in self.rooms if not is_personal(name)]
