"""Lets backends change what is there: members and histories of rooms, connections, and tokens."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from forestay.core.rules.scopes import Grant, Scope
from forestay.core.sessions.backend import Backend
from forestay.edge.api.audit import Audit
from forestay.edge.api.handler import BodyLimits, Paths, answered
from forestay.edge.api.looking import connection_in_query
from forestay.edge.request_parts import name_in_path, parse, read_body
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.v1.texts import position_fields

# Unix seconds, to the end of the year 9999.
_Moment: TypeAlias = Annotated[float, Meta(ge=0, le=253_402_300_799)]


class _Revocation(Struct, frozen=True):
    jti: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    user: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    before: _Moment | None = None
    until: _Moment | None = None


_read_revocation = msgspec.json.Decoder(_Revocation).decode

# Where the two names are in the path of a member.
_ROOM, _USER = -3, -1


class Managing:
    """The paths that change something. Each use has a line in the log."""

    def __init__(self, backend: Backend, limits: BodyLimits, audit: Audit) -> None:
        self._backend = backend
        self._limits = limits
        self._audit = audit

    def paths(self) -> Paths:
        return {
            "/v1/rooms/{room}/members/{user}": {"PUT": self._join, "DELETE": self._remove},
            "/v1/rooms/{room}/history": {"DELETE": self._forget_history},
            "/v1/users/{user}": {"DELETE": self._forget_user},
            "/v1/users/{user}/connections": {"DELETE": self._disconnect},
            "/v1/revocations": {"POST": self._revoke},
        }

    async def _join(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        return await self._place(request, grant, remove=False)

    async def _remove(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        return await self._place(request, grant, remove=True)

    async def _place(self, request: web.Request, grant: Grant, *, remove: bool) -> web.StreamResponse:
        room = self._backend.room(name_in_path(request, _ROOM))
        user = name_in_path(request, _USER)
        self._backend.personal(user)
        connection = connection_in_query(request)

        async def place() -> Mapping[str, object]:
            grant.require(Scope.MANAGE, room)
            changed, refused, complete = await self._backend.place(room, user, connection, remove=remove)
            return {
                "removed" if remove else "joined": changed,
                "refused": [{"connection": id, "code": code} for id, code in refused],
                "complete": complete,
            }

        action, whom = "remove" if remove else "join", {"room": room, "user": user, "connection": connection}
        return answered(await self._audit.run(request, grant, action, whom, place))

    async def _forget_history(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        room = self._backend.room(name_in_path(request))

        async def forget() -> Mapping[str, object]:
            grant.require(Scope.MANAGE, room)
            forgotten = await self._backend.forget_history(room)
            return {"deleted": forgotten.messages, **position_fields(forgotten.top)}

        return answered(await self._audit.run(request, grant, "forget_history", {"room": room}, forget))

    async def _disconnect(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        user = name_in_path(request)
        room = self._backend.personal(user)

        async def disconnect() -> Mapping[str, object]:
            grant.require(Scope.MANAGE, room)
            ended, complete = await self._backend.disconnect(user)
            return {"ended": ended, "complete": complete}

        return answered(await self._audit.run(request, grant, "disconnect", {"user": user}, disconnect))

    async def _forget_user(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        user = name_in_path(request, _USER)
        room = self._backend.personal(user)

        async def forget() -> Mapping[str, object]:
            grant.require(Scope.MANAGE, room)
            deleted, ended, complete = await self._backend.forget_user(user)
            return {"deleted": deleted, "ended": ended, "complete": complete}

        return answered(await self._audit.run(request, grant, "forget_user", {"user": user}, forget))

    async def _revoke(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        body = await read_body(request, self._limits.message_bytes)
        what = parse(body, self._limits.depth, _read_revocation, '{"jti": …} or {"user": …}')
        if (what.jti is None) == (what.user is None):
            raise Refusal(ErrorCode.BAD_MESSAGE, "give either 'jti', for one token, or 'user', for all of a user")
        room = self._backend.personal(what.user or "any")

        async def revoke() -> Mapping[str, object]:
            grant.require(Scope.MANAGE, room)
            await self._backend.revoke(what.jti, what.user, what.before, what.until)
            return {}

        whom = {"jti": what.jti, "user": what.user, "before": what.before, "until": what.until}
        return answered(await self._audit.run(request, grant, "revoke", whom, revoke))
