"""One client as the core sees it: its identity, its rooms, and what is still to be written to it.

Each field has one writer, named beside it; all parts may read it. A pod holds ten thousand connections, so they have
slots, and fields that most clients never use are None until then.
"""

from collections.abc import Callable

from forestay.core.facts.source import Source
from forestay.core.ports.transport import Transport
from forestay.core.rules.access import Identity, Right
from forestay.core.rules.rate_limit import TokenBucket
from forestay.protocol.codes import Ending
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, is_personal
from forestay.protocol.position import Position


class Connection:
    """A welcomed client."""

    __slots__ = (
        "_end",
        "answered",
        "answers",
        "bindings",
        "bucket",
        "came_at",
        "connected_at",
        "ended",
        "granted",
        "heard_at",
        "held",
        "id",
        "identity",
        "leave_at",
        "missed",
        "ping_at",
        "pinged_at",
        "pings",
        "pongs",
        "positions",
        "relocating",
        "rooms",
        "transport",
        "wire",
    )

    def __init__(
        self,
        id: str,
        identity: Identity,
        transport: Transport,
        bucket: TokenBucket,
        now: float,
        end: Callable[["Connection", Ending], None],
    ) -> None:
        """`now`: loop time. `end`: ends this connection; it does nothing the second time."""
        self._end = end
        self.id = id
        """Unique among all pods."""
        self.identity = identity
        """Written by Sessions, when the token is renewed."""
        self.transport = transport
        self.wire = transport.wire
        self.bucket = bucket
        """What the client may send. Connections of one client share it."""
        self.connected_at = now
        """Loop time."""
        self.heard_at = now
        """Loop time of the client's last message or pong. Written by the Dispatcher."""
        self.held = False
        """Whether nothing of the client is read, because a request of it waits. Written by the Dispatcher."""
        self.came_at = 0.0
        """When the client's last message came, by `Runtime.perf`. Written by the Dispatcher."""
        self.ping_at = now
        """Loop time of the next ping. Written by Keepalive."""
        self.pinged_at: float | None = None
        """Loop time of the first ping that the client has not answered yet. Written by Keepalive."""
        self.pings = 0
        """How many pings were written that the client must answer. Written by `ping`."""
        self.pongs = 0
        """How many pongs answered one of them. Written by the Dispatcher."""
        self.leave_at: float | None = None
        """Loop time when the connection is old and is asked to reconnect. Written by Keepalive."""
        self.relocating: str | None = None
        """Why the client was asked to connect elsewhere; it then does not count for its user. Written by Relocation."""
        self.rooms: set[RoomName] = set()
        """Written by Membership."""
        self.granted: set[RoomName] | None = None
        """Rooms that it may be in whatever its token allows, as a backend has said. Written by Membership."""
        self.bindings: dict[int, RoomName] | None = None
        """The room of each type of binary messages. Written by Broadcasts."""
        self.answers: list[bytes] = []
        """Frames for this client alone. A pass writes them before room messages. Written by Passes."""
        self.answered = 0
        """Bytes of answers that the client may not have taken yet: at most so many. Written by SlowReaders."""
        self.missed: dict[RoomName, Position | None] | None = None
        """Rooms with dropped messages, because the client is slow, each with the position of the last one.

        Each gets a `resync`. Written by SlowReaders.
        """
        self.positions: dict[RoomName, Position] | None = None
        """What was written of each room with history. None until it is in one, and where the wire is not tailed.

        What waits in `answers` counts as written, because nothing is written before it. Written by Passes.
        """
        self.ended: Ending | None = None
        """Written by Sessions."""

    def end(self, ending: Ending) -> None:
        """Write what is pending and close with `ending`, ours or the client's. Only the first call has an effect."""
        self._end(self, ending)

    def ping(self) -> None:
        """Write a ping of its wire, unless its transport is closed."""
        self.pings += 1
        if not self.transport.closed():
            self.transport.write(self.wire.ping())

    def may_be_in(self, name: RoomName) -> bool:
        """Whether its token, or a backend, lets it be in the room `name`."""
        granted = self.granted
        return (granted is not None and name in granted) or Right.JOIN in self.identity.rights.of(name)

    def is_left_out(self, message: Message) -> bool:
        """Whether `message` is one of its own that it does not want back.

        The sender is asked too, because a caller over HTTP says which connection is its own. Nobody can leave out the
        connection of another user.
        """
        return message.exclude == self.id and message.sender == self.identity.user

    def gets(self, message: Message) -> bool:
        """Whether a message of one of its rooms is for it: not its own one, nor the news of its own user."""
        if message.kind is not Kind.BROADCAST:
            return message.sender != self.identity.user
        return not self.is_left_out(message)

    @property
    def user(self) -> str:
        """The user of its token."""
        return self.identity.user

    @property
    def source(self) -> Source:
        """Where the client's last message came from."""
        return Source(self.came_at, self.id)

    def public_rooms(self) -> list[RoomName]:
        """Its rooms, without the personal one."""
        return [name for name in self.rooms if not is_personal(name)]
