"""Serves the HTTP API for backends: publish, history, presence, connections and revocations.

Each request that ends connections or revokes tokens leaves one line in the log: which key asked for what, about whom,
and what came of it.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta, Struct

from forestay.core.ports.bus import PAGE_BYTES
from forestay.core.ports.observer import Observer
from forestay.core.rules.scopes import Grant, Scope
from forestay.core.sessions.backend import Backend
from forestay.edge.api.keys import ApiKeys
from forestay.edge.problems import other_method, problem
from forestay.edge.request_parts import (
    Publication,
    binary_type,
    history_query,
    is_binary,
    name_in_path,
    page_limit,
    parse,
    publish_key,
    read_body,
)
from forestay.edge.request_trace import request_trace, trace_id
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import RoomName
from forestay.protocol.v1.pages import history_fields, presence_fields
from forestay.protocol.v1.texts import position_fields

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request, Grant], Awaitable[web.StreamResponse]]


class _Revocation(Struct, frozen=True):
    jti: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    user: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    before: float | None = None
    until: float | None = None


_read_publication = msgspec.json.Decoder(Publication).decode
_read_revocation = msgspec.json.Decoder(_Revocation).decode


class Api:
    """The paths under `/v1`, on the internal port. Each of them requires an API key."""

    def __init__(self, backend: Backend, keys: ApiKeys, max_bytes: int, max_depth: int, observer: Observer) -> None:
        """`max_bytes`: the largest message. `max_depth`: of nested arrays and objects in a body."""
        self._observer = observer
        self._backend = backend
        self._keys = keys
        self._max_bytes = max_bytes
        self._max_depth = max_depth

    def routes(self) -> list[web.AbstractRouteDef]:
        # aiohttp's own form of a name has no braces, and a user may have some.
        room, user = "/v1/rooms/{room:[^/]+}", "/v1/users/{user:[^/]+}"
        paths: dict[str, dict[str, Handler]] = {
            f"{room}/messages": {"POST": self._to_room},
            f"{user}/messages": {"POST": self._to_user},
            f"{room}/history": {"GET": self._history},
            "/v1/rooms": {"GET": self._rooms},
            f"{room}/presence": {"GET": self._presence},
            "/v1/revocations": {"POST": self._revoke},
            f"{user}/connections": {"GET": self._connections, "DELETE": self._disconnect},
        }
        routes: list[web.AbstractRouteDef] = []
        for path, handlers in paths.items():
            routes += [web.route(method, path, self._guarded(handler)) for method, handler in handlers.items()]
            # aiohttp answers a HEAD where there is a GET.
            allowed = ", ".join(sorted({*handlers, "HEAD"} if "GET" in handlers else handlers))
            routes.append(web.route("*", path, self._guarded(partial(_other_method, allowed))))
        return [*routes, web.route("*", "/v1/{rest:.*}", self._guarded(_not_found))]

    def _guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            outcome = "failed"
            try:
                response = await handler(request, self._keys.check(request))
                outcome = "ok" if response.status < 400 else ErrorCode.NOT_FOUND
            except Refusal as refusal:
                outcome = refusal.code
                log.debug("request refused", code=refusal.code, reason=str(refusal), trace_id=trace_id(request))
                response = problem(refusal)
            finally:
                self._observer.answered(outcome)
            return response

        return guarded

    async def _to_room(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        return await self._publish(request, grant, self._backend.room(name_in_path(request)))

    async def _to_user(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        return await self._publish(request, grant, self._backend.personal(name_in_path(request)))

    async def _publish(self, request: web.Request, grant: Grant, room: RoomName) -> web.StreamResponse:
        grant.require(Scope.PUBLISH, room)
        body = await read_body(request, self._max_bytes)
        trace = request_trace(request)
        if is_binary(request):
            frame, key = binary_type(request) + body, publish_key(request)
            position = await self._backend.publish(room, frame, key=key, binary=True, trace=trace)
        else:
            what = parse(body, self._max_depth, _read_publication, '{"payload": …}')
            payload, key = bytes(what.payload), publish_key(request, what.key)
            position = await self._backend.publish(room, payload, key=key, event=what.event, trace=trace)
        return _json(position_fields(position))

    async def _history(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        room = self._backend.room(name_in_path(request))
        grant.require(Scope.READ, room)
        query = history_query(request)
        page = await self._backend.history(room, query)
        newest = query.since is None
        return _json(history_fields(page.top.epoch, page.messages, more=page.more, newest=newest, max_bytes=PAGE_BYTES))

    async def _rooms(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_in_all_rooms(Scope.READ)
        limit = page_limit(request)
        found, complete = await self._backend.rooms(request.query.get("after", ""), limit + 1)
        answer: dict[str, object] = {
            "rooms": [{"room": name, "members": members} for name, members in found[:limit]],
            "complete": complete,
        }
        if len(found) > limit:
            answer["next"] = found[limit - 1][0]
        return _json(answer)

    async def _presence(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        room = self._backend.room(name_in_path(request))
        grant.require(Scope.READ, room)
        page = await self._backend.present(room, request.query.get("after"), page_limit(request))
        return _json(presence_fields(page, PAGE_BYTES))

    async def _connections(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        user = name_in_path(request)
        grant.require(Scope.READ, self._backend.personal(user))
        connections, complete = await self._backend.connections(user)
        return _json({"connections": connections, "complete": complete})

    async def _disconnect(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        user = name_in_path(request)
        room = self._backend.personal(user)

        async def disconnect() -> Mapping[str, object]:
            grant.require(Scope.MANAGE, room)
            ended, complete = await self._backend.disconnect(user)
            return {"ended": ended, "complete": complete}

        return _json(await self._audited(request, grant, "disconnect", {"user": user}, disconnect))

    async def _revoke(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        body = await read_body(request, self._max_bytes)
        what = parse(body, self._max_depth, _read_revocation, '{"jti": …} or {"user": …}')
        if (what.jti is None) == (what.user is None):
            raise Refusal(ErrorCode.BAD_MESSAGE, "give either 'jti', for one token, or 'user', for all of a user")
        room = self._backend.personal(what.user or "any")

        async def revoke() -> Mapping[str, object]:
            grant.require(Scope.MANAGE, room)
            await self._backend.revoke(what.jti, what.user, what.before, what.until)
            return {}

        whom = {"jti": what.jti, "user": what.user, "before": what.before, "until": what.until}
        return _json(await self._audited(request, grant, "revoke", whom, revoke))

    async def _audited(
        self,
        request: web.Request,
        grant: Grant,
        action: str,
        whom: Mapping[str, object],
        work: Callable[[], Awaitable[Mapping[str, object]]],
    ) -> Mapping[str, object]:
        """The result of `work`, which has one line in the log, whatever comes of it."""
        result, outcome = "failed", "failed"
        done: Mapping[str, object] = {}
        try:
            done = await work()
            result = outcome = "ok"
        except Refusal as refusal:
            result, outcome = refusal.code, "refused"
            raise
        finally:
            log.info("audit", key=grant.name, action=action, **whom, result=result, **done, trace_id=trace_id(request))
            self._observer.managed(action, outcome)
        return done


async def _other_method(allowed: str, request: web.Request, grant: Grant) -> web.StreamResponse:
    return other_method(allowed)


async def _not_found(request: web.Request, grant: Grant) -> web.StreamResponse:
    raise Refusal(ErrorCode.NOT_FOUND, "the API has no such path; docs/protocol.md lists them")


def _json(body: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
