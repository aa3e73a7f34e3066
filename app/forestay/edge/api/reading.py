"""Tells backends what is there: history, presence, rooms, and the connections of users."""

from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from forestay.core.ports.bus import PAGE_BYTES
from forestay.core.rules.scopes import Grant, Scope
from forestay.core.sessions.backend import Backend, HistoryPart
from forestay.edge.api.handler import Paths, answered
from forestay.edge.request_parts import name_in_path, offset_in_query, page_limit, query_value
from forestay.protocol.v1.pages import history_fields, presence_fields

# The API, and the protocol of clients.
_DESCRIPTIONS: Final = ("openapi", "asyncapi")


class Reading:
    """The paths that change nothing."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._documents = {name: Path(__file__).with_name(f"{name}.json").read_bytes() for name in _DESCRIPTIONS}

    def paths(self) -> Paths:
        return {
            "/v1/rooms/{room}/history": {"GET": self._history},
            "/v1/rooms/{room}/presence": {"GET": self._presence},
            "/v1/rooms": {"GET": self._rooms},
            "/v1/users/{user}/connections": {"GET": self._connections},
            **{f"/v1/{name}.json": {"GET": partial(_document, body)} for name, body in self._documents.items()},
        }

    async def _history(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        room = self._backend.room(name_in_path(request))
        grant.require(Scope.READ, room)
        since, before = offset_in_query(request, "since"), offset_in_query(request, "before")
        part = HistoryPart(page_limit(request), query_value(request, "epoch"), since, before)
        page = await self._backend.history(room, part)
        newest = since is None
        return answered(
            history_fields(page.top.epoch, page.messages, more=page.more, newest=newest, max_bytes=PAGE_BYTES)
        )

    async def _presence(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        room = self._backend.room(name_in_path(request))
        grant.require(Scope.READ, room)
        page = await self._backend.present(room, query_value(request, "after"), page_limit(request))
        return answered(presence_fields(page, PAGE_BYTES))

    async def _rooms(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_in_all_rooms(Scope.READ)
        limit = page_limit(request)
        found, complete = await self._backend.rooms(query_value(request, "after") or "", limit + 1)
        answer: dict[str, object] = {
            "rooms": [{"room": name, "members": members} for name, members in found[:limit]],
            "complete": complete,
        }
        if len(found) > limit:
            answer["next"] = found[limit - 1][0]
        return answered(answer)

    async def _connections(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        user = name_in_path(request)
        grant.require(Scope.READ, self._backend.personal(user))
        connections, complete = await self._backend.connections(user)
        return answered({"connections": connections, "complete": complete})


async def _document(body: bytes, request: web.Request, grant: Grant) -> web.StreamResponse:
    return web.Response(body=body, content_type="application/json")
