"""Serves the HTTP API for backends: publish, history, presence, connections and revocations."""

import hmac
from collections.abc import Awaitable, Callable
from struct import pack
from typing import Annotated, Final, TypeVar

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta, Raw, Struct

from forestay.core.ports.bus import PAGE_BYTES, Query
from forestay.core.ports.observer import Observer
from forestay.core.sessions.backend import Backend
from forestay.edge.problems import problem
from forestay.edge.request_trace import request_trace, trace_id
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.depth import deeper_than
from forestay.protocol.message import Position
from forestay.protocol.names import RoomName
from forestay.protocol.v1.encoder import position_fields
from forestay.protocol.v1.pages import history_fields, presence_fields

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BINARY: Final = "application/octet-stream"
# Bytes of a page of history or presence. A backend has more memory than a client, and no limit of a WebSocket library.
_PAGE_BYTES: Final = PAGE_BYTES


class _Publication(Struct, frozen=True):
    payload: Raw
    key: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class _Revocation(Struct, frozen=True):
    jti: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    user: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    before: float | None = None
    until: float | None = None


_read_publication = msgspec.json.Decoder(_Publication).decode
_read_revocation = msgspec.json.Decoder(_Revocation).decode
Parsed = TypeVar("Parsed")


class Api:
    """The paths under `/v1`, on the internal port. Each of them requires the API key."""

    def __init__(self, backend: Backend, api_key: str, max_bytes: int, max_depth: int, observer: Observer) -> None:
        """`api_key`: empty where none is configured, and then every request is refused.

        `max_bytes`: the largest message. `max_depth`: of nested arrays and objects in a body.
        """
        self._observer = observer
        self._backend = backend
        self._key = api_key.encode()
        self._max_bytes = max_bytes
        self._max_depth = max_depth

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post("/v1/rooms/{room}/messages", self._guarded(self._to_room)),
            web.post("/v1/users/{user}/messages", self._guarded(self._to_user)),
            web.get("/v1/rooms/{room}/history", self._guarded(self._history)),
            web.get("/v1/rooms", self._guarded(self._rooms)),
            web.get("/v1/rooms/{room}/presence", self._guarded(self._presence)),
            web.post("/v1/revocations", self._guarded(self._revoke)),
            web.get("/v1/users/{user}/connections", self._guarded(self._connections)),
            web.delete("/v1/users/{user}/connections", self._guarded(self._disconnect)),
            web.route("*", "/v1/{rest:.*}", self._guarded(_not_found)),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            outcome = "failed"
            try:
                self._check_key(request)
                response = await handler(request)
                outcome = "ok"
            except Refusal as refusal:
                outcome = refusal.code
                log.debug("request refused", code=refusal.code, reason=str(refusal), trace_id=trace_id(request))
                response = problem(refusal)
            finally:
                self._observer.answered(outcome)
            return response

        return guarded

    def _check_key(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        given = key.strip().encode(errors="surrogateescape") if scheme.lower() == "bearer" else b""
        if not hmac.compare_digest(given, self._key) or not self._key:
            raise Refusal(
                ErrorCode.BAD_TOKEN, "the API key is missing or wrong; send 'Authorization: Bearer <API_KEY>'"
            )

    async def _to_room(self, request: web.Request) -> web.StreamResponse:
        return await self._publish(request, self._backend.room(request.match_info["room"]))

    async def _to_user(self, request: web.Request) -> web.StreamResponse:
        return await self._publish(request, self._backend.personal(request.match_info["user"]))

    async def _publish(self, request: web.Request, room: RoomName) -> web.StreamResponse:
        body = await self._body(request)
        trace = request_trace(request)
        if request.content_type == _BINARY and "Content-Type" in request.headers:
            position = await self._backend.publish(room, _kind(request) + body, binary=True, trace=trace)
        else:
            publication = self._read(body, _read_publication, '{"payload": …}')
            position = await self._backend.publish(room, bytes(publication.payload), key=publication.key, trace=trace)
        return _json(position_fields(position))

    async def _history(self, request: web.Request) -> web.StreamResponse:
        query = _query(request)
        page = await self._backend.history(self._backend.room(request.match_info["room"]), query)
        newest = query.since is None
        return _json(history_fields(page.top.epoch, page.messages, more=page.more, newest=newest, budget=_PAGE_BYTES))

    async def _body(self, request: web.Request) -> bytes:
        too_large = Refusal(
            ErrorCode.TOO_LARGE, f"the body has more than {self._max_bytes} bytes; send a smaller message"
        )
        if (request.content_length or 0) > self._max_bytes:
            raise too_large
        body = bytearray()
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > self._max_bytes:
                    raise too_large
        except (ConnectionError, web.RequestPayloadError):
            raise Refusal(
                ErrorCode.BAD_MESSAGE, "the connection broke before the body was complete; send the request again"
            ) from None
        return bytes(body)

    def _read(self, body: bytes, reader: Callable[[str], Parsed], form: str) -> Parsed:
        try:
            # Decoded before it is parsed: the parser would pass invalid UTF-8 to every member of the room.
            text = body.decode()
            if deeper_than(text, self._max_depth):
                message = f"nested deeper than {self._max_depth} arrays and objects; flatten the body"
                raise Refusal(ErrorCode.TOO_DEEP, message)
            return reader(text)
        except UnicodeDecodeError:
            raise Refusal(ErrorCode.BAD_JSON, "the body is not UTF-8; encode it as UTF-8") from None
        except msgspec.ValidationError as error:
            raise Refusal(ErrorCode.BAD_MESSAGE, f"the body must be {form}: {error}") from None
        except msgspec.DecodeError as error:
            raise Refusal(ErrorCode.BAD_JSON, f"not valid JSON: {error}") from None

    async def _rooms(self, request: web.Request) -> web.StreamResponse:
        limit = _limit(request)
        found, complete = await self._backend.rooms(request.query.get("after", ""), limit + 1)
        answer: dict[str, object] = {
            "rooms": [{"room": name, "members": members} for name, members in found[:limit]],
            "complete": complete,
        }
        if len(found) > limit:
            answer["next"] = found[limit - 1][0]
        return _json(answer)

    async def _presence(self, request: web.Request) -> web.StreamResponse:
        room = self._backend.room(request.match_info["room"])
        page = await self._backend.present(room, request.query.get("after"), _limit(request))
        return _json(presence_fields(page, _PAGE_BYTES))

    async def _connections(self, request: web.Request) -> web.StreamResponse:
        connections, complete = await self._backend.connections(request.match_info["user"])
        return _json({"connections": connections, "complete": complete})

    async def _disconnect(self, request: web.Request) -> web.StreamResponse:
        ended, complete = await self._backend.disconnect(request.match_info["user"])
        return _json({"ended": ended, "complete": complete})

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        what = self._read(await self._body(request), _read_revocation, '{"jti": …} or {"user": …}')
        if (what.jti is None) == (what.user is None):
            raise Refusal(ErrorCode.BAD_MESSAGE, "give either 'jti', for one token, or 'user', for all of a user")
        await self._backend.revoke(what.jti, what.user, what.before, what.until)
        return _json({})


async def _not_found(request: web.Request) -> web.StreamResponse:
    raise Refusal(ErrorCode.NOT_FOUND, "the API has no such method and path; docs/protocol.md lists them")


def _kind(request: web.Request) -> bytes:
    """The binary type, as the first four bytes of the frame. Raises Refusal."""
    text = request.query.get("type", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= 0xFFFFFFFF):
        raise Refusal(
            ErrorCode.BAD_BINARY, "the binary type is missing or wrong; add '?type=' with a number from 0 to 4294967295"
        )
    return pack("!I", int(text))


def _query(request: web.Request) -> Query:
    """The query in `?limit=`, and in `?epoch=` with `?since=` or `?before=`. Raises Refusal."""
    given = request.query
    limit = _limit(request)
    bounds = [name for name in ("since", "before") if name in given]
    if not all(_is_number(given[name]) for name in bounds):
        raise Refusal(ErrorCode.BAD_MESSAGE, "'since' and 'before' must be numbers")
    if len(bounds) > 1 or (bounds and "epoch" not in given):
        raise Refusal(ErrorCode.BAD_MESSAGE, "give one of 'since' and 'before', and 'epoch' with it")
    positions = {name: Position(given["epoch"], int(given[name])) for name in bounds}
    return Query(limit, positions.get("since"), positions.get("before"))


def _limit(request: web.Request) -> int:
    """The number in `?limit=`; 100 where it is missing. Raises Refusal."""
    limit = request.query.get("limit", "100")
    if not _is_number(limit) or not 1 <= int(limit) <= 1000:
        raise Refusal(ErrorCode.BAD_MESSAGE, "'limit' must be a number from 1 to 1000")
    return int(limit)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
