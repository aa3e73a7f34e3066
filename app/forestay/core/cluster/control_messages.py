"""The messages of the control channel, as pods of several releases read them.

A later release may add a message or a field with a default. It changes nothing else: an unknown message is ignored, and
so is an unknown field.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from forestay.core.facts.frames import Frame
from forestay.core.ports.operating import Incident, Minute, Vitals, Wanted
from forestay.core.ports.registry import Revocation
from forestay.protocol.codes import CloseCode


class Pings(Struct, frozen=True, kw_only=True):
    """The pings of one connection that its client must answer."""

    sent: int
    answered: int
    waiting: float
    """Seconds for which the oldest one has had no answer; 0 where none waits."""


class Connected(Struct, frozen=True, omit_defaults=True):
    """One connection of a user, as a backend sees it. An older release says no more than the first three fields."""

    id: str
    pod: str
    rooms: Sequence[str]
    user: str | None = None
    wire: str | None = None
    since: float | None = None
    """Unix seconds of its welcome."""
    expires_at: float | None = None
    """Unix seconds at which its token expires; None where it never does."""
    heard_at: float | None = None
    """Unix seconds of the last sign of life of its client."""
    rights: Mapping[str, str] | None = None
    """Letters by pattern of rooms. None where the settings do not let operators see them."""
    pings: Pings | None = None
    waiting_bytes: int | None = None
    """Bytes that were written and that the network of the client has not taken yet."""
    slow_rooms: Sequence[str] | None = None
    """Rooms of which it misses messages now, because it reads slowly."""
    moving: str | None = None
    """Why the client was asked to connect elsewhere."""


class PodStatus(Struct, frozen=True, kw_only=True):
    """One pod, as a backend sees it."""

    pod: str
    version: str
    build: str
    """`compiled`, `plain` or `mixed`."""
    state: str
    """One of `lifecycle.State`."""
    connections: int
    rooms: int
    """Rooms with a member on this pod. A room can be on several pods."""
    bus: str
    """Its kind: `redis` or `memory`."""
    bus_up: bool
    round_trip: float | None
    """Seconds that the last probe of the bus took; None before the first one."""
    host: str = ""
    """The name of the pod in Kubernetes, elsewhere that of its host."""
    moving: int | None = None
    """Connections whose client was asked to connect elsewhere. None where an older release answers."""
    slow: int | None = None
    """Connections that miss messages now, because they read slowly."""
    vitals: Vitals | None = None


class RoomTraffic(Struct, frozen=True, kw_only=True):
    """One room on one pod."""

    room: str
    members: int
    messages: float = 0.0
    """A second, as the other two."""
    deliveries: float = 0.0
    """Messages times members."""
    bytes: float = 0.0
    """Of the payloads, each once."""


class TopRooms(Struct, frozen=True, kw_only=True):
    """The rooms of one pod with the most members or the most traffic."""

    rooms: Sequence[RoomTraffic]
    left_out: float
    """The most that a room has which is not among them: members, or deliveries a second."""
    seconds: float
    """For which traffic has been counted."""


class Control(Struct, frozen=True, tag_field="ask"):
    """`number` and `asker` name the question that an answer belongs to."""

    number: int = 0
    asker: str = ""


class ConnectionsQuestion(Control, frozen=True, tag="connections", kw_only=True):
    """Asks for the connections of a user."""

    user: str
    end: bool = False
    """End the connections too, as revoked."""
    forget: bool = False
    """End the presence of the user too, without its grace. An older release ignores this."""


class RoomsQuestion(Control, frozen=True, tag="rooms", kw_only=True):
    """Asks for the rooms after `after` that have members."""

    after: str
    limit: int


class StatusQuestion(Control, frozen=True, tag="status"):
    """Asks how the pod is."""


class PlacingQuestion(Control, frozen=True, tag="place", kw_only=True):
    """Asks to put the connections of a user into a room, or to take them out."""

    user: str
    room: str
    connection: str | None = None
    """The id of the only connection that is meant."""
    remove: bool = False


class DrainQuestion(Control, frozen=True, tag="drain"):
    """Asks the pod that gets it to drain, and how it is."""


class TopQuestion(Control, frozen=True, tag="top", kw_only=True):
    """Asks for the rooms with the most members or the most traffic."""

    by: str
    """`members` or `traffic`."""
    limit: int


class ConnectionQuestion(Control, frozen=True, tag="connection", kw_only=True):
    """Asks for one connection."""

    id: str
    end: bool = False
    """End it too, as revoked."""


class SlowQuestion(Control, frozen=True, tag="slow", kw_only=True):
    """Asks for the connections that miss messages now, because they read slowly."""

    limit: int


class RecentQuestion(Control, frozen=True, tag="recent", kw_only=True):
    """Asks what has happened a moment ago."""

    wanted: Wanted


class MinutesQuestion(Control, frozen=True, tag="minutes", kw_only=True):
    """Asks how connections came and went in the last minutes."""

    minutes: int


class ShedQuestion(Control, frozen=True, tag="shed", kw_only=True):
    """Asks the pod that gets it to let a share of its clients connect elsewhere, over so many seconds."""

    share: float
    within: float


class WatchQuestion(Control, frozen=True, tag="watch", kw_only=True):
    """Asks for the frames of one connection, or for the messages that are published in one room, while they come."""

    watch: str
    """The name of the watch. The same one again renews it."""
    connection: str | None = None
    room: str | None = None
    end: bool = False


class Seen(Struct, frozen=True, kw_only=True):
    """What was seen of a watch since the last answer."""

    watch: str = ""
    """Its name; empty in the answer to the question."""
    frames: Sequence[Frame] = ()
    dropped: int = 0
    """Frames that are missing, because there were too many."""
    ended: bool = False
    """Whether the connection has ended."""
    payloads: bool = False
    """Whether the pod shows payloads."""
    full: bool = False
    """Whether the pod has what is asked for, and does not watch it, because it has as many watches as it may have."""


class End(Control, frozen=True, tag="end", kw_only=True):
    """End the connections with these ids."""

    connections: Sequence[str]
    code: CloseCode


class Revoked(Control, frozen=True, tag="revoked", kw_only=True):
    """Tokens were revoked."""

    revocation: Revocation


class Answer(Control, frozen=True, tag="answer", kw_only=True):
    """What one pod answers to a question."""

    connections: Sequence[Connected] = ()
    rooms: Sequence[tuple[str, int]] = ()
    status: PodStatus | None = None
    changed: int = 0
    """Connections that were placed; 1 where a drain has begun, 0 where it had before."""
    refused: Sequence[tuple[str, str]] = ()
    """Ids of connections that could not be placed, and the error codes."""
    top: TopRooms | None = None
    recent: Sequence[Incident] = ()
    minutes: Sequence[Minute] = ()
    seen: Seen | None = None


Look: TypeAlias = (
    TopQuestion | ConnectionQuestion | SlowQuestion | RecentQuestion | MinutesQuestion | ShedQuestion | WatchQuestion
)
"""What only operators ask."""

Question: TypeAlias = ConnectionsQuestion | RoomsQuestion | StatusQuestion | PlacingQuestion | DrainQuestion | Look

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Question | End | Revoked | Answer).decode
"""Raises msgspec.MsgspecError for a message that this release does not know, and UnicodeDecodeError."""
