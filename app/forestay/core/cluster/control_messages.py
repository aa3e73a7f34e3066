"""The messages of the control channel, as pods of several releases read them.

A later release may add a message or a field with a default. It changes nothing else: an unknown message is ignored, and
so is an unknown field.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from forestay.core.ports.registry import Revocation
from forestay.protocol.codes import CloseCode


class Connected(Struct, frozen=True):
    """One connection of a user, as a backend sees it."""

    id: str
    pod: str
    rooms: Sequence[str]


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


Question: TypeAlias = ConnectionsQuestion | RoomsQuestion | StatusQuestion | PlacingQuestion | DrainQuestion

encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Question | End | Revoked | Answer).decode
"""Raises msgspec.MsgspecError for a message that this release does not know."""
