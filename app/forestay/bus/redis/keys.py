"""Names the keys and channels in Redis: one form for all of them, which no text from a user can leave.

`<prefix>:{<partition>}:<kind>:<room>`. All keys of a room share the hash tag, so one script may use them on a Cluster.
Rooms of one partition share a slot, so one command can ask about many of them. The user of a personal room is written
in base64url.
"""

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import Final, NamedTuple
from zlib import crc32

from forestay.protocol.names import RoomName, personal_room

PARTITIONS: Final = 256
"""Hash tags in use. Few enough to ask about all rooms in a few commands, many enough to spread over any Cluster."""

FIRST: Final = 0
"""The partition of the pods and the revocations."""

# Rooms whose keys are cached. A pod that publishes in more rooms at a time computes them again.
_MAX_CACHED: Final = 16_384


class RoomKeys(NamedTuple):
    """The keys and the channel of one room."""

    partition: int
    channel: bytes
    meta: bytes
    """The hash with the room's epoch and offset."""
    stream: bytes
    seed: bytes
    """The hash with the seed of the first epoch. On one node all rooms share it."""
    idempotency: bytes
    """The beginning of every idempotency key of the room."""


class EventKeys(NamedTuple):
    """Where events wait for the receiver of webhooks."""

    partition: int
    events: bytes
    """The stream of events that are not delivered yet."""
    facts: bytes
    """The hash with the bytes of the stream, the events that it has lost, and the receiver that has stopped."""
    dead: bytes
    """The stream of dead letters."""


class KeySpace:
    """The keys and channels below one prefix."""

    def __init__(self, prefix: str, *, cluster: bool = False) -> None:
        """`cluster`: the partitions are on several nodes."""
        self._prefix = prefix
        self._cluster = cluster
        self._cache: dict[RoomName, RoomKeys] = {}

    def room(self, room: RoomName) -> RoomKeys:
        keys = self._cache.get(room)
        if keys is None:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            keys = self._cache[room] = self._make(room)
        return keys

    def probe(self, partition: int, pod: str) -> bytes:
        """The channel of the probes of `pod` on the node that has `partition`."""
        return f"{self._prefix}:{{{partition}}}:p:{pod}".encode()

    def presence(self, room: RoomName) -> tuple[bytes, bytes]:
        """The members of `room`, and the same users in order."""
        partition, name = _partition_and_name(room)
        return self._key(partition, "n", name), self._key(partition, "u", name)

    def connections(self, user: str) -> tuple[int, bytes]:
        """The partition of a user, and the key of its connections."""
        partition, name = _partition_and_name(personal_room(user))
        return partition, self._key(partition, "x", name)

    def owned_rooms(self, partition: int, pod: str) -> bytes:
        """The rooms of one partition in which `pod` has members."""
        return self._key(partition, "r", pod)

    def owned_users(self, partition: int, pod: str) -> bytes:
        """The users of one partition of which `pod` has connections."""
        return self._key(partition, "y", pod)

    def leases(self) -> bytes:
        return self._key(FIRST, "l", "pods")

    def load(self) -> bytes:
        """The number of connections of each pod."""
        return self._key(FIRST, "l", "load")

    def revocations(self) -> tuple[bytes, bytes]:
        """The revocations in their order, and by the time when they end."""
        return self._key(FIRST, "v", "order"), self._key(FIRST, "v", "end")

    def ticket(self, name: str) -> tuple[int, bytes]:
        """The partition of a ticket, and its key. `name`: in hex."""
        partition = crc32(name.encode()) % PARTITIONS
        return partition, self._key(partition, "t", name)

    def webhooks(self, partition: int) -> EventKeys:
        """Where the events about the rooms of one partition wait. On one node those of all partitions are together."""
        shared = partition if self._cluster else 0
        return EventKeys(shared, *(self._key(shared, "w", name) for name in ("events", "facts", "dead")))

    @property
    def event_partitions(self) -> int:
        """In how many partitions events wait."""
        return PARTITIONS if self._cluster else 1

    def seed(self, partition: int) -> bytes:
        """The seed of the first epoch for the rooms of one partition."""
        return self._key(partition if self._cluster else 0, "g", "first")

    def _make(self, room: RoomName) -> RoomKeys:
        partition, name = _partition_and_name(room)
        channel, meta, stream, idempotency = (self._key(partition, kind, name) for kind in "cmsk")
        return RoomKeys(partition, channel, meta, stream, self.seed(partition), idempotency)

    def _key(self, partition: int, kind: str, name: str) -> bytes:
        return f"{self._prefix}:{{{partition}}}:{kind}:{name}".encode()


def _partition_and_name(room: RoomName) -> tuple[int, str]:
    """The partition of a room, and its name within a key."""
    text = room.encode("utf-8", "surrogatepass")
    name = "@" + urlsafe_b64encode(text[1:]).rstrip(b"=").decode() if room[0] == "@" else str(room)
    return crc32(text) % PARTITIONS, name


def idempotency_key(keys: RoomKeys, sender: str | None, key: str) -> bytes:
    """Where Redis remembers that `sender` published under `key`.

    None stands for all backends, which are one sender. No user can have the same name.
    """
    name = b"" if sender is None else b"@" + sender.encode("utf-8", "surrogatepass")
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, key=blake2b(name, digest_size=32).digest())
    return keys.idempotency + b":" + digest.hexdigest().encode()
