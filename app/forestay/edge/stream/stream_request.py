"""Reads a request for an event stream: its rooms, its token, and the last event that the client has."""

from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from forestay.core.rules.access import Identity
from forestay.core.sessions.addresses import any_room
from forestay.edge.handshake.connect_request import offered
from forestay.edge.handshake.refused import Refused
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import RoomName
from forestay.protocol.requests import Join
from forestay.protocol.sse.event_ids import MAX_ROOMS, NOWHERE, EventIds, LastEvent, read_id

# Names of the last id in a URL: those of the replacements for EventSource that cannot set a header.
_ID_NAMES = ("lastEventId", "last_event_id", "Last-Event-ID")


class StreamRequest(NamedTuple):
    """A request for a stream."""

    rooms: Sequence[str]
    """As the client wrote them, each once, in the order of the URL."""
    last_id: str | None
    """The id of the last event that the client has; None where it has none."""
    token: str | None
    secret: str = ""
    """Of a stream that a ticket has opened. See event_ids."""


class Plan(NamedTuple):
    """What a stream begins with, once its caller is known."""

    joins: Sequence[Join]
    ids: EventIds


def read_request(request: web.BaseRequest, *, query_token: bool, most_rooms: int) -> StreamRequest:
    """What `request` asks for. Raises Refused where it does not have the form of a request for a stream."""
    if request.body_exists:
        raise _malformed("the request has a body; ask for a stream without one")
    query = request.rel_url.query
    rooms = list(dict.fromkeys(query.getall("room", [])))
    most = min(most_rooms, MAX_ROOMS)
    if not rooms:
        raise _malformed("the URL names no room; add '?room=' with a name, once for each room")
    if len(rooms) > most:
        raise Refused(
            400, Refusal(ErrorCode.TOO_MANY_ROOMS, f"the URL names {len(rooms)} rooms; a stream may have {most}")
        )
    _, token = offered(request, query_token=query_token)
    # The header is newer: a client that comes back by itself asks for the same URL.
    last = request.headers.get("Last-Event-ID")
    if last is None:
        last = next((query[name] for name in _ID_NAMES if name in query), None)
    return StreamRequest(rooms, last or None, token)


def plan(asked: StreamRequest, identity: Identity) -> Plan:
    """How the rooms of `asked` are joined."""
    named = _named(asked.rooms, identity)
    rooms = [room for room in named if room is not None]
    last = LastEvent({}) if asked.last_id is None else read_id(asked.last_id, named)
    joins = []
    for text, room in zip(asked.rooms, named, strict=True):
        since = last.positions.get(room, NOWHERE) if room is not None else NOWHERE
        joins.append(Join(room=text, since=None if asked.last_id is None else since))
    return Plan(joins, EventIds(rooms, asked.secret, last.positions))


def _named(rooms: Sequence[str], identity: Identity) -> list[RoomName | None]:
    """The names of `rooms`; None for a text that is no room."""
    found: list[RoomName | None] = []
    for text in rooms:
        try:
            found.append(any_room(identity, text))
        except Refusal:
            found.append(None)
    return found


def _malformed(message: str) -> Refused:
    return Refused(400, Refusal(ErrorCode.BAD_MESSAGE, message))
