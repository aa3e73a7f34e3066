"""The Registry port: the data that all pods share, such as who is in which room.

Each pod registers what is its own. It is counted for as long as the pod sends heartbeats.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from forestay.core.ports.bus import PAGE_BYTES, Outcome
from forestay.core.ports.verifier import TicketUse
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.presence import Member, PresencePage


@dataclass(frozen=True, slots=True)
class Claim:
    """Whether a user may have one more connection."""

    granted: bool
    yielding: Sequence[str] = ()
    """Ids of connections that must end for it, on this pod or another."""


class Revocation(Struct, frozen=True, kw_only=True):
    """A revoked token by its `jti`, or all tokens of a user that were issued before a time."""

    jti: str | None = None
    user: str | None = None
    before: float = 0.0
    """Unix seconds. Tokens of the user with an earlier `iat` are revoked."""
    until: float
    """Unix seconds when the revocation runs out."""


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """What a pod learns from its heartbeat."""

    known: bool
    """Whether the registry counted the pod without a gap. If not, what it knows of the pod may be wrong."""
    pods: Sequence[str]
    """The pods that are alive, this one included."""
    expired: Sequence[str]
    """Pods whose lease has ended and that no pod has reaped yet."""
    revocations: Sequence[Revocation]
    """Those that are new since the last heartbeat."""
    load: Mapping[str, int]
    """Connections by pod, of those alive pods that reported them."""
    lost_memory: bool = False
    """Whether the registry has lost data since the last heartbeat. Then it forgot users who are still there."""
    refusing: bool = False
    """Whether the registry takes no new users now."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the registry believes that this pod has."""

    presence: Sequence[tuple[RoomName, str]]
    """Pairs of a room and a user."""
    claims: Sequence[tuple[str, str]]
    """Pairs of a user and a connection's id."""


def nothing(room: RoomName) -> None:
    """Tells nothing about `room`."""


class Registry(Protocol):
    """Presence, connections of users, revocations, tickets and pods, shared by all pods.

    All methods but `put` and `release` raise BusLost.
    """

    def put(
        self,
        member: Member,
        room: RoomName,
        news: Message | None,
        settled: Callable[[Outcome], None],
        told: bytes | None = None,
    ) -> None:
        """Set the number of connections of a user in `room` on this pod. The same number again changes nothing.

        `news` is published where the user was on no pod before, or is on no pod any more. `told` is an event for the
        receiver of webhooks. It waits where the room had no user on any pod before, or has none any more.
        """

    async def presence_page(
        self, room: RoomName, after: str | None, limit: int, max_bytes: int = PAGE_BYTES
    ) -> PresencePage:
        """At most `limit` users in `room`, those after the user `after`.

        The page ends earlier where its users take more than `max_bytes`, as the registry keeps them. It has at least
        one user, if there is one.
        """

    async def claim(self, user: str, connection: str, limit: int, *, replace: bool) -> Claim:
        """Count one more connection of `user`, who may have `limit` on all pods; 0 means no limit."""

    def release(self, user: str, connection: str, settled: Callable[[Outcome], None]) -> None:
        """Stop counting that connection."""

    async def revoke(self, revocation: Revocation) -> None:
        """Keep `revocation`, so that every pod learns of it with its next heartbeat."""

    async def keep_ticket(self, name: str, held: bytes, seconds: float, longest: float) -> None:
        """Keep `held` under `name` for so many `seconds`. A stream that it opens keeps it for the `longest` time."""

    async def use_ticket(self, name: str, use: TicketUse, secret: str) -> bytes | None:
        """What is kept under `name`, where it may be used so; None where it may not, or is not there."""

    async def heartbeat(self, lease: float, connections: int = 0) -> HeartbeatReply:
        """Count this pod for another `lease` seconds, with its number of connections."""

    async def pods(self) -> Sequence[str]:
        """The pods that may have connections: from their first heartbeat until they retire or are reaped.

        Raises BusLost also where the registry may have lost data since the last heartbeat of this pod.
        """

    async def recall(self) -> Holdings:
        """Return what the registry has of this pod. After a loss of memory it may be an older state."""

    async def reap(
        self, pod: str, told: Callable[[RoomName], bytes | None] = nothing
    ) -> Sequence[tuple[RoomName, str]]:
        """Remove the data of a pod whose lease has ended. Return the rooms and users that no pod has then.

        `told`: makes the event for the case that a room has no user any more.
        """

    async def retire(self, grace: float) -> None:
        """Count this pod for `grace` more seconds at most; with 0, remove all that is its own."""
