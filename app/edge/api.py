"""A backend speaks over HTTP, on the internal port: to a room, to a user, and about a user's connections."""

import hmac
from collections.abc import Awaitable, Callable
from struct import pack
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Raw, Struct

from app.core.backend import Backend
from app.core.ports import Query
from app.edge.problems import problem
from app.protocol.codes import ErrorCode, Refusal
from app.protocol.encoder import listed, placed
from app.protocol.message import Position
from app.protocol.names import RoomName
from app.protocol.reader import deeper_than
from app.protocol.trace import TraceContext, parse_trace

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BINARY: Final = "application/octet-stream"


class _Publication(Struct, frozen=True):
    payload: Raw
    key: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


_decode = msgspec.json.Decoder(_Publication).decode


class Api:
    """The paths under `/v1`. Every one of them asks for the API key."""

    def __init__(self, backend: Backend, api_key: str, max_bytes: int, max_depth: int) -> None:
        """`api_key`: empty where none is configured; nobody is let in then. `max_bytes`: of a message."""
        self._backend = backend
        self._key = api_key.encode()
        self._max_bytes = max_bytes
        self._max_depth = max_depth

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.post("/v1/rooms/{room}/messages", self._guarded(self._to_room)),
            web.post("/v1/users/{user}/messages", self._guarded(self._to_user)),
            web.get("/v1/rooms/{room}/history", self._guarded(self._history)),
            web.get("/v1/users/{user}/connections", self._guarded(self._connections)),
            web.delete("/v1/users/{user}/connections", self._guarded(self._disconnect)),
            web.route("*", "/v1/{rest:.*}", self._guarded(_nothing_here)),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                self._check_key(request)
                return await handler(request)
            except Refusal as refusal:
                return problem(refusal)

        return guarded

    def _check_key(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        given = key.strip().encode(errors="surrogateescape") if scheme.lower() == "bearer" else b""
        if not hmac.compare_digest(given, self._key) or not self._key:
            raise Refusal(ErrorCode.BAD_TOKEN, "the API key is missing or wrong: 'Authorization: Bearer <API_KEY>'")

    async def _to_room(self, request: web.Request) -> web.StreamResponse:
        return await self._publish(request, self._backend.room(request.match_info["room"]))

    async def _to_user(self, request: web.Request) -> web.StreamResponse:
        return await self._publish(request, self._backend.personal(request.match_info["user"]))

    async def _publish(self, request: web.Request, room: RoomName) -> web.StreamResponse:
        body = await self._body(request)
        trace = _trace(request)
        if request.content_type == _BINARY and "Content-Type" in request.headers:
            position = await self._backend.publish(room, _kind(request) + body, binary=True, trace=trace)
        else:
            said = self._read(body)
            position = await self._backend.publish(room, bytes(said.payload), key=said.key, trace=trace)
        return _json(placed(position))

    async def _history(self, request: web.Request) -> web.StreamResponse:
        page = await self._backend.history(self._backend.room(request.match_info["room"]), _query(request))
        return _json({"epoch": page.top.epoch, "messages": listed(page.messages), "more": page.more})

    async def _body(self, request: web.Request) -> bytes:
        too_large = Refusal(ErrorCode.TOO_LARGE, f"a message has at most {self._max_bytes} bytes")
        if (request.content_length or 0) > self._max_bytes:
            raise too_large
        body = bytearray()
        try:
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > self._max_bytes:
                    raise too_large
        except (ConnectionError, web.RequestPayloadError):
            raise Refusal(ErrorCode.BAD_MESSAGE, "the body broke off") from None
        return bytes(body)

    def _read(self, body: bytes) -> _Publication:
        try:
            # Decoded before it is parsed: the parser would pass invalid UTF-8 on to every member of the room.
            text = body.decode()
            if deeper_than(text, self._max_depth):
                raise RecursionError
            return _decode(text)
        except UnicodeDecodeError:
            raise Refusal(ErrorCode.BAD_JSON, "the body is not UTF-8") from None
        except msgspec.ValidationError as error:
            raise Refusal(ErrorCode.BAD_MESSAGE, f'the body is {{"payload": …}}: {error}') from None
        except msgspec.DecodeError as error:
            raise Refusal(ErrorCode.BAD_JSON, f"not valid JSON: {error}") from None
        except RecursionError:
            raise Refusal(ErrorCode.TOO_DEEP, f"nested deeper than {self._max_depth} arrays and objects") from None

    async def _connections(self, request: web.Request) -> web.StreamResponse:
        connections = self._backend.connections(request.match_info["user"])
        return _json({"connections": [{"id": one.id, "rooms": sorted(one.public_rooms())} for one in connections]})

    async def _disconnect(self, request: web.Request) -> web.StreamResponse:
        return _json({"ended": self._backend.disconnect(request.match_info["user"])})


async def _nothing_here(request: web.Request) -> web.StreamResponse:
    raise Refusal(ErrorCode.NOT_FOUND, "no such method and path; docs/protocol.md lists them")


def _kind(request: web.Request) -> bytes:
    """The binary type as the frame begins with it. Raises Refusal."""
    text = request.query.get("type", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= 0xFFFFFFFF):
        raise Refusal(ErrorCode.BAD_BINARY, "a binary message needs '?type=', a number from 0 to 4294967295")
    return pack("!I", int(text))


def _query(request: web.Request) -> Query:
    """`?limit=`, and `?epoch=` with `?since=` or `?before=`. Raises Refusal."""
    given = request.query
    limit = given.get("limit", "100")
    bounds = [name for name in ("since", "before") if name in given]
    numbers = [limit, *(given[name] for name in bounds)]
    if not all(number.isascii() and number.isdigit() and len(number) < 16 for number in numbers):
        raise Refusal(ErrorCode.BAD_MESSAGE, "'limit', 'since' and 'before' are numbers")
    if not 1 <= int(limit) <= 1000:
        raise Refusal(ErrorCode.BAD_MESSAGE, "'limit' is 1 to 1000")
    if len(bounds) > 1 or (bounds and "epoch" not in given):
        raise Refusal(ErrorCode.BAD_MESSAGE, "give 'since' or 'before', and 'epoch' with it")
    positions = {name: Position(given["epoch"], int(given[name])) for name in bounds}
    return Query(int(limit), positions.get("since"), positions.get("before"))


def _trace(request: web.Request) -> TraceContext | None:
    return parse_trace(request.headers.get("traceparent"), request.headers.get("tracestate"))


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
