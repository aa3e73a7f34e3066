"""What the bus calls things in Redis: one grammar for keys and channels, which no user's text can leave.

`<prefix>:{<partition>}:<kind>:<room>`. All of a room shares the hash tag, so a script may touch it on a Cluster; rooms
of one partition share a slot, so many can be asked about at once. A personal room's user is written in base64url.
"""

from base64 import urlsafe_b64encode
from hashlib import blake2b
from typing import Final, NamedTuple
from zlib import crc32

from forestay.protocol.names import RoomName, personal_room

PARTITIONS: Final = 256
"""Hash tags in use. Few enough to ask about all rooms in a few questions, many enough to spread over any Cluster."""

# Names that are remembered; a pod that speaks in more rooms at a time makes them afresh.
_REMEMBERED: Final = 16_384


class Names(NamedTuple):
    """What one room is called."""

    partition: int
    channel: bytes
    meta: bytes
    """The hash with the room's epoch and offset."""
    stream: bytes
    key: bytes
    """What every idempotency key of the room starts with."""


class Grammar:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._known: dict[RoomName, Names] = {}

    def of(self, room: RoomName) -> Names:
        names = self._known.get(room)
        if names is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            names = self._known[room] = self._make(room)
        return names

    def probe(self, partition: int, pod: str) -> bytes:
        """The channel on which `pod` hears itself on the node that has `partition`."""
        return f"{self._prefix}:{{{partition}}}:p:{pod}".encode()

    def present(self, room: RoomName) -> tuple[bytes, bytes]:
        """What is known of who is in `room`, and the same users in order."""
        partition, name = _placed(room)
        return self._key(partition, "n", name), self._key(partition, "u", name)

    def connections(self, user: str) -> tuple[int, bytes]:
        """A user's partition, and what is known of its connections."""
        partition, name = _placed(personal_room(user))
        return partition, self._key(partition, "x", name)

    def owned_rooms(self, partition: int, pod: str) -> bytes:
        """The rooms of one partition in which `pod` has somebody."""
        return self._key(partition, "r", pod)

    def owned_users(self, partition: int, pod: str) -> bytes:
        """The users of one partition that `pod` has connections of."""
        return self._key(partition, "y", pod)

    def leases(self) -> bytes:
        return self._key(0, "l", "pods")

    def load(self) -> bytes:
        """How many connections each pod has."""
        return self._key(0, "l", "load")

    def revocations(self) -> tuple[bytes, bytes]:
        """What was revoked in its order, and by its end."""
        return self._key(0, "v", "order"), self._key(0, "v", "end")

    def _make(self, room: RoomName) -> Names:
        partition, name = _placed(room)
        return Names(partition, *(self._key(partition, kind, name) for kind in "cmsk"))

    def _key(self, partition: int, kind: str, name: str) -> bytes:
        return f"{self._prefix}:{{{partition}}}:{kind}:{name}".encode()


def _placed(room: RoomName) -> tuple[int, str]:
    """A room's partition, and its name within the grammar."""
    text = room.encode("utf-8", "surrogatepass")
    name = "@" + urlsafe_b64encode(text[1:]).rstrip(b"=").decode() if room[0] == "@" else str(room)
    return crc32(text) % PARTITIONS, name


def idempotency_key(names: Names, sender: str | None, key: str) -> bytes:
    """Where it is remembered that `sender` published under `key`. All backends are one sender, and no user is it."""
    who = b"" if sender is None else b"@" + sender.encode("utf-8", "surrogatepass")
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, key=blake2b(who, digest_size=32).digest())
    return names.key + b":" + digest.hexdigest().encode()
