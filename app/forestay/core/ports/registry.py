"""The Registry port: what pods know together, each saying what is its own, for as long as it gives signs of life."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from forestay.core.ports.bus import Outcome
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName


@dataclass(frozen=True, slots=True)
class Member:
    """One user in a room, on all pods together."""

    user: str
    connections: int
    info: bytes | None = None
    """JSON from the user's token: what others may know."""


@dataclass(frozen=True, slots=True)
class PresencePage:
    """Who is in a room, as far as one page goes."""

    connections: int
    """Of the whole room."""
    users: int
    """Of the whole room."""
    members: Sequence[Member]
    """In the order of their names' bytes."""
    more: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """Whether a user may have one connection more."""

    granted: bool
    yielding: Sequence[str] = ()
    """Connections that have to go for it, by id, on whatever pod."""


class Revocation(Struct, frozen=True, kw_only=True):
    """Tokens that are good no more: one by its `jti`, or a user's that were issued before some time."""

    jti: str | None = None
    user: str | None = None
    before: float = 0.0
    """Unix seconds, against `iat`."""
    until: float
    """Unix seconds; kept no longer."""


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """What a pod learns when it gives its sign of life."""

    known: bool
    """Whether the pod was still counted, by a memory without a gap; else what is known of it may be wrong."""
    pods: Sequence[str]
    """Who is alive, this pod among them."""
    lapsed: Sequence[str]
    """Whose lease is over and whose belongings are still there."""
    revocations: Sequence[Revocation]
    """What is new since the last one."""
    load: Mapping[str, int]
    """Connections by pod, of those that are alive and have said it."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the registry believes that this pod has."""

    stays: Sequence[tuple[RoomName, str]]
    """Users in rooms."""
    claims: Sequence[tuple[str, str]]
    """Users and their connections."""


class Registry(Protocol):
    """Who is where, and whom to let in no more, on all pods.

    Everything but `put` and `release` raises BusLost.
    """

    def put(self, stay: Member, room: RoomName, news: Message | None, settled: Callable[[Outcome], None]) -> None:
        """Have so many connections of that user in `room` on this pod; 0 is none. Saying it again changes nothing.

        `news` is published where the user was on no pod before, or is on none any more.
        """

    async def presence_page(self, room: RoomName, after: str | None, limit: int) -> PresencePage:
        """Who is in `room`: at most `limit` users, those behind `after`."""

    async def claim(self, user: str, connection: str, limit: int, *, replace: bool) -> Claim:
        """Count one connection more of `user`, who may have `limit` on all pods; 0 counts it whatever the number."""

    def release(self, user: str, connection: str, settled: Callable[[Outcome], None]) -> None:
        """Count that connection no more."""

    async def revoke(self, revocation: Revocation) -> None:
        """Let every pod learn it with its next sign of life."""

    async def heartbeat(self, lease: float, connections: int = 0) -> HeartbeatReply:
        """Be counted for another `lease` seconds, with so many connections."""

    async def recall(self) -> Holdings:
        """What this pod has, as far as is known: after a loss of memory that may be an older state."""

    async def reap(self, pod: str) -> Sequence[tuple[RoomName, str]]:
        """Take away what belongs to a pod whose lease is over; who is in which room no more, of all pods."""

    async def retire(self, grace: float) -> None:
        """Be counted for `grace` seconds more, and no longer; with 0 leave nothing behind."""
