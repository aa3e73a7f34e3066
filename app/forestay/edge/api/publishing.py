"""Publishes for backends: to one room, to one user, and many messages in one request."""

from typing import Annotated, Final, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from forestay.core.ports.bus import PAGE_BYTES
from forestay.core.rules.scopes import Grant, Scope
from forestay.core.sessions.backend import Backend, Publication, Published
from forestay.edge.api.handler import BodyLimits, Paths, answered
from forestay.edge.request_parts import (
    Key,
    RoomMessage,
    binary_type,
    is_binary,
    name_in_path,
    parse,
    publish_key,
    read_body,
)
from forestay.edge.request_trace import request_trace
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.depth import deeper_than
from forestay.protocol.names import RoomName
from forestay.protocol.trace import TraceContext
from forestay.protocol.v1.texts import position_fields

MOST: Final = 1000
"""Messages of one request."""

# Arrays and objects around a message in the body of a batch.
_AROUND: Final = 2

_Names: TypeAlias = Annotated[list[str], Meta(max_length=MOST)]


class _Entry(Struct, frozen=True):
    """One message of a batch."""

    payload: Raw
    room: str | None = None
    user: str | None = None
    key: Key | None = None
    event: str | None = None


class _Batch(Struct, frozen=True):
    """A list of messages, or one message for a list of rooms and users."""

    messages: Annotated[list[_Entry], Meta(min_length=1, max_length=MOST)] | None = None
    rooms: _Names | None = None
    users: _Names | None = None
    payload: Raw = Raw()
    key: Key | None = None
    event: str | None = None


_read_message = msgspec.json.Decoder(RoomMessage).decode
_read_batch = msgspec.json.Decoder(_Batch).decode

_FORM: Final = '{"messages": [{"room": …, "payload": …}]} or {"rooms": […], "users": […], "payload": …}'


class Publishing:
    """The paths that publish."""

    def __init__(self, backend: Backend, limits: BodyLimits) -> None:
        self._backend = backend
        self._limits = limits

    def paths(self) -> Paths:
        return {
            "/v1/rooms/{room}/messages": {"POST": self._to_room},
            "/v1/users/{user}/messages": {"POST": self._to_user},
            "/v1/publish": {"POST": self._batch},
        }

    async def _to_room(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        return await self._publish(request, grant, self._backend.room(name_in_path(request)))

    async def _to_user(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        return await self._publish(request, grant, self._backend.personal(name_in_path(request)))

    async def _publish(self, request: web.Request, grant: Grant, room: RoomName) -> web.StreamResponse:
        grant.require(Scope.PUBLISH, room)
        body = await read_body(request, self._limits.message_bytes)
        trace, type = request_trace(request), binary_type(request)
        if is_binary(request):
            publication = Publication(room, type + body, publish_key(request), binary=True, trace=trace)
        else:
            what = parse(body, self._limits.depth, _read_message, '{"payload": …}')
            publication = Publication(
                room, bytes(what.payload), publish_key(request, what.key), what.event, trace=trace
            )
        return answered(position_fields(await self._backend.publish(publication)))

    async def _batch(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        body = await read_body(request, max(PAGE_BYTES, self._limits.message_bytes))
        batch = parse(body, self._limits.depth + _AROUND, _read_batch, _FORM)
        entries = self._entries(batch, request)
        trace = request_trace(request)
        published = await self._backend.publish_all([self._publication(entry, grant, trace) for entry in entries])
        results = [_result(entry, one) for entry, one in zip(entries, published, strict=True)]
        return answered({"results": results, "failed": sum(isinstance(one, Refusal) for one in published)})

    def _entries(self, batch: _Batch, request: web.Request) -> list[_Entry]:
        """The messages of a batch. Raises Refusal where its form is wrong as a whole."""
        if batch.messages is not None:
            if batch.payload or any(one is not None for one in (batch.rooms, batch.users, batch.key, batch.event)):
                raise Refusal(ErrorCode.BAD_MESSAGE, f"the body must be {_FORM}: both forms are given")
            for number, entry in enumerate(batch.messages):
                if (entry.room is None) == (entry.user is None):
                    message = f"give either 'room' or 'user' in each message - at `$.messages[{number}]`"
                    raise Refusal(ErrorCode.BAD_MESSAGE, message)
            return _keyed(batch.messages, publish_key(request))
        if not batch.payload:
            raise Refusal(ErrorCode.BAD_MESSAGE, f"the body must be {_FORM}: 'messages' and 'payload' are missing")
        rooms, users = batch.rooms or [], batch.users or []
        if not rooms and not users:
            raise Refusal(ErrorCode.BAD_MESSAGE, "'rooms' and 'users' name nobody; give at least one name")
        if deeper_than(bytes(batch.payload), self._limits.depth - 1):
            raise Refusal(ErrorCode.TOO_DEEP, f"nested deeper than {self._limits.depth} arrays and objects; flatten it")
        key = publish_key(request, batch.key)
        return [
            *[_Entry(batch.payload, room=room, key=key, event=batch.event) for room in rooms],
            *[_Entry(batch.payload, user=user, key=key, event=batch.event) for user in users],
        ]

    def _publication(self, entry: _Entry, grant: Grant, trace: TraceContext | None) -> Publication | Refusal:
        try:
            room = self._backend.personal(entry.user or "") if entry.room is None else self._backend.room(entry.room)
            grant.require(Scope.PUBLISH, room)
        except Refusal as refusal:
            return refusal
        return Publication(room, bytes(entry.payload), entry.key, entry.event, trace=trace)


def _keyed(entries: list[_Entry], key: str | None) -> list[_Entry]:
    """`entries`, each with a key of its own where the request has one."""
    if key is None:
        return entries
    return [
        entry if entry.key is not None else replace(entry, key=f"{key}:{place}") for place, entry in enumerate(entries)
    ]


def _result(entry: _Entry, published: Published) -> dict[str, object]:
    where = {"user": entry.user} if entry.room is None else {"room": entry.room}
    if not isinstance(published, Refusal):
        return where | position_fields(published)
    fields: dict[str, object] = {"code": published.code, "detail": published.message}
    if published.retry_after_ms is not None:
        fields["retry_after_ms"] = published.retry_after_ms
    return where | fields
