"""Serves single HTTP requests of clients: calls, and publish, history and presence of a room, with their own token.

With an event stream this is all that a client needs where WebSockets are blocked. A pod that drains or is full answers
them all the same: they take no place, and the client's stream may be on this pod.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta, Raw, Struct

from forestay.core.cluster.tickets import Tickets
from forestay.core.rules.access import Identity
from forestay.core.sessions.single_requests import SingleRequests
from forestay.edge.handshake.admission import Admission
from forestay.edge.handshake.connect_request import offered, present, ticket_in, without_token
from forestay.edge.handshake.cors import other_method, preflight, readable
from forestay.edge.handshake.refused import Refused
from forestay.edge.listening.routes import Handler
from forestay.edge.listening.servers import admit
from forestay.edge.problems import problem
from forestay.edge.request_parts import (
    RoomMessage,
    binary_type,
    history_query,
    is_binary,
    name_in_path,
    page_limit,
    parse,
    publish_key,
    query_value,
    read_body,
)
from forestay.edge.request_trace import request_trace, trace_id
from forestay.protocol import requests
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.v1.pages import history_fields, presence_fields
from forestay.protocol.v1.texts import position_fields

log = structlog.get_logger(__name__)

# Cheap messages that a ticket counts as: its token has a signature to verify, and the registry keeps it.
_TICKET: Final = 20.0

Own = Annotated[str, Meta(min_length=1, max_length=64)]
"""The id of a connection of the caller."""


class _Publication(RoomMessage, frozen=True):
    echo: bool | None = None
    connection: Own | None = None


class _Called(Struct, frozen=True):
    method: str
    payload: Raw = Raw(b"null")


_read_call = msgspec.json.Decoder(_Called).decode
_read_publication = msgspec.json.Decoder(_Publication).decode

_Work = Callable[[web.BaseRequest, Identity, str], Awaitable[dict[str, object]]]


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may use."""

    query_token: bool
    """Whether a token in the URL is accepted."""
    message_bytes: int
    """The largest message, and so the largest body and the largest page."""
    json_depth: int
    """Of nested arrays and objects in a body."""
    body_seconds: float
    """Seconds that a body may take."""


class ClientRequests:
    """The paths under `/rooms`, `/calls` and `/tickets`, on the public port."""

    def __init__(
        self,
        admission: Admission,
        tickets: Tickets,
        limits: RequestLimits,
        requests_of_clients: SingleRequests,
    ) -> None:
        self._admission = admission
        self._tickets = tickets
        self._limits = limits
        self._requests = requests_of_clients

    def paths(self, prefix: str) -> dict[str, Handler]:
        """The handlers, by path. `prefix`: what all paths of the gateway begin with."""
        room = f"{prefix}/rooms/{{room}}"
        return {
            f"{room}/messages": self._serving("POST", self._publish),
            f"{room}/history": self._serving("GET", self._history),
            f"{room}/presence": self._serving("GET", self._presence),
            f"{prefix}/calls": self._serving("POST", self._call),
            f"{prefix}/tickets": self._serving("POST", self._ticket, 201),
        }

    def _serving(self, method: str, work: _Work, status: int = 200) -> Handler:
        async def serve(request: web.BaseRequest) -> web.StreamResponse:
            if request.method == "OPTIONS":
                return preflight(request, (method,))
            if request.method != method:
                return other_method(request, (method,))
            response = await self._answer(request, work, status)
            readable(request, response)
            return response

        return serve

    async def _answer(self, request: web.BaseRequest, work: _Work, status: int) -> web.Response:
        try:
            self._admission.check_origin(request)
            _, token = offered(request, query_token=self._limits.query_token)
            identity = await self._tickets.verify(_token(request, token))
        except Refused as refused:
            return problem(refused.refusal, refused.status)
        except Refusal as refusal:
            return problem(refusal)
        room = ""
        try:
            room = name_in_path(request)
            answer = await work(request, identity, room)
        except Refusal as refusal:
            self._requests.refused(refusal, room, request_trace(request))
            log.debug("request refused", code=refusal.code, reason=str(refusal), trace_id=trace_id(request))
            return problem(refusal)
        return web.Response(status=status, body=msgspec.json.encode(answer), content_type="application/json")

    async def _publish(self, request: web.BaseRequest, identity: Identity, room: str) -> dict[str, object]:
        body = await self._body(request, identity)
        what: requests.Broadcast | requests.Binary
        if is_binary(request):
            self._requests.received("binary", len(body))
            if publish_key(request) is not None:
                raise Refusal(ErrorCode.KEY_NEEDS_HISTORY, "a binary message is never kept, so it cannot have a key")
            what, own = (
                requests.Binary(data=binary_type(request) + body, room=room),
                query_value(request, "connection"),
            )
        else:
            self._requests.received("broadcast", len(body))
            said = parse(body, self._limits.json_depth, _read_publication, '{"payload": …}')
            key = publish_key(request, said.key)
            what = requests.Broadcast(room=room, payload=said.payload, key=key, event=said.event, echo=said.echo)
            own = said.connection
        return position_fields(await self._requests.publish(identity, what, own, request_trace(request)))

    async def _body(self, request: web.BaseRequest, identity: Identity) -> bytes:
        """The body of a POST. It counts against the rate before it is read, as far as its size is known."""
        announced = min(request.content_length or 0, self._limits.message_bytes)
        self._requests.spend(identity, announced)
        admit(request)
        body = await read_body(request, self._limits.message_bytes, self._limits.body_seconds)
        if len(body) > announced:
            self._requests.spend(identity, len(body) - announced, cost=0.0)
        return body

    async def _history(self, request: web.BaseRequest, identity: Identity, room: str) -> dict[str, object]:
        query = history_query(request)
        self._requests.received("history", 0)
        asked = requests.History(room=room, since=query.since, before=query.before, limit=query.limit)
        reply = await self._requests.history(identity, asked)
        admit(request)
        async with self._requests.turn():
            return history_fields(
                reply.epoch,
                reply.messages,
                more=reply.more,
                newest=reply.newest,
                max_bytes=self._limits.message_bytes,
            )

    async def _presence(self, request: web.BaseRequest, identity: Identity, room: str) -> dict[str, object]:
        asked = requests.Presence(room=room, after=query_value(request, "after"), limit=page_limit(request))
        self._requests.received("presence", 0)
        reply = await self._requests.presence(identity, asked)
        admit(request)
        async with self._requests.turn():
            return presence_fields(reply.page, self._limits.message_bytes)

    async def _call(self, request: web.BaseRequest, identity: Identity, _: str) -> dict[str, object]:
        body = await self._body(request, identity)
        self._requests.received("call", len(body))
        said = parse(body, self._limits.json_depth, _read_call, '{"method": …, "payload": …}')
        called = requests.Call(method=said.method, payload=said.payload)
        return {"payload": Raw(await self._requests.call(identity, called, request_trace(request)))}

    async def _ticket(self, request: web.BaseRequest, identity: Identity, _: str) -> dict[str, object]:
        self._requests.spend(identity, cost=_TICKET)
        ticket, seconds = await self._tickets.issue(identity)
        return {"ticket": ticket, "expires_in": max(1, int(seconds))}


def _token(request: web.BaseRequest, token: str | None) -> str:
    """The token of `request`. A ticket does not do here. Raises Refused."""
    if token is None and ticket_in(request) is None:
        raise without_token(request)
    shown = present(request, token)
    if not isinstance(shown, str):
        raise Refused(401, Refusal(ErrorCode.BAD_TOKEN, "a ticket only opens a connection or a stream; send a token"))
    return shown
