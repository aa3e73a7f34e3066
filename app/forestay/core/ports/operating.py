"""The Operating port: what operators see of one pod, and do with it, beside what the core knows.

The values pass from pod to pod, so a later release may add a field with a default, and changes nothing else.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from forestay.core.rules.shown import Shown

KINDS: Final = ("ended", "refused", "turned_away", "resync", "gap", "slow", "removed", "bus")
"""The kinds of an Incident."""
MINUTES: Final = 120
"""The minutes that a pod keeps."""


class Rates(Struct, frozen=True, kw_only=True):
    """Numbers per second."""

    seconds: float
    """Over so long a time."""
    received: float
    """Messages from clients, whatever they ask for."""
    received_bytes: float
    published: float
    """Messages that the bus accepted from this pod."""
    delivered: float
    """Messages times the members on this pod."""
    written_bytes: float


class DrainProgress(Struct, frozen=True, kw_only=True):
    """A drain that has begun."""

    begun_at: float
    """Unix seconds."""
    window: float
    """Seconds in which clients are asked to move."""
    connections: int
    """How many there were when it began."""


class Vitals(Struct, frozen=True, kw_only=True):
    """How one pod is."""

    reason: str
    """`ready`, or why it is not."""
    limit: int
    """The connections that it may have."""
    loop_lag: float
    """Seconds by which the event loop is late, smoothed over a few seconds."""
    worst_loop_lag: float
    """The worst of the last 30 to 60 seconds."""
    cpu_seconds: float
    """CPU time of the process."""
    memory_bytes: int | None = None
    started_at: float | None = None
    """Unix seconds."""
    rates: Rates | None = None
    """None in the first seconds of a pod."""
    drain: DrainProgress | None = None


class Incident(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened, of one of KINDS. What does not belong to its kind is None."""

    at: float
    """Unix seconds."""
    kind: str
    times: int = 1
    """How often the same came in a row. `at` is the last time."""
    user: str | None = None
    connection: str | None = None
    wire: str | None = None
    address: str | None = None
    room: str | None = None
    code: str | int | None = None
    """A close code, or the error code of a refusal."""
    status: int | None = None
    """The HTTP status of a client that was turned away."""
    reason: str | None = None
    by: str | None = None
    """Who ended a connection: `gateway` or `client`."""
    seconds: float | None = None
    """How long a connection lived."""
    messages: int | None = None
    """How many were missing and were read from the history."""
    members: int | None = None
    """How many were told that messages are lost."""
    policy: str | None = None
    """What happens to a slow client."""
    event: str | None = None
    """Of the bus."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which incidents are asked for. None means all."""

    limit: int
    kinds: Sequence[str] = KINDS
    user: str | None = None
    connection: str | None = None
    room: str | None = None


class Minute(Struct, kw_only=True):
    """What happened to connections in one minute."""

    at: int
    """Its begin, Unix seconds."""
    opened: int = 0
    turned_away: int = 0
    gateway: dict[str, int] = field(default_factory=dict)
    """Connections that the gateway ended, by close code."""
    client: dict[str, int] = field(default_factory=dict)
    """Those that their client ended, or that broke."""


class Operating:
    """Knows nothing and does nothing. The process overrides all of it."""

    shown: frozenset[Shown] = frozenset()
    """What the settings let operators see."""

    def vitals(self) -> Vitals | None:
        """How the pod is."""
        return None

    def recent(self, wanted: Wanted) -> Sequence[Incident]:
        """The newest incidents, newest first."""
        return ()

    def minutes(self, number: int) -> Sequence[Minute]:
        """The last minutes in which anything happened, oldest first."""
        return ()

    def shed(self, share: float, within: float) -> int:
        """Ask a share of the connections to connect again elsewhere, over so many seconds. How many were asked."""
        return 0
