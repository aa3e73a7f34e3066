"""Tells backends what is there: history, presence, rooms, and the connections of users."""

from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from forestay.core.cluster.all_pods import BUSIEST, AllPods
from forestay.core.ports.bus import PAGE_BYTES
from forestay.core.rules.scopes import Grant, Scope
from forestay.core.sessions.backend import Backend, HistoryPart
from forestay.edge.api.handler import Paths, answered
from forestay.edge.request_parts import name_in_path, offset_in_query, page_limit, query_value
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.v1.pages import history_fields, presence_fields

# The API, and the protocol of clients.
_DESCRIPTIONS: Final = ("openapi", "asyncapi")
# The busiest rooms: how many where the request does not say, and at most.
_BUSY: Final = 20
_MOST_BUSY: Final = 100


class Reading:
    """The paths that change nothing."""

    def __init__(self, backend: Backend, all_pods: AllPods) -> None:
        self._backend = backend
        self._all_pods = all_pods
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
        by = query_value(request, "by")
        if by is not None:
            return await self._busiest(request, by)
        limit = page_limit(request)
        found, complete = await self._backend.rooms(query_value(request, "after") or "", limit + 1)
        answer: dict[str, object] = {
            "rooms": [{"room": name, "members": members} for name, members in found[:limit]],
            "complete": complete,
        }
        if len(found) > limit:
            answer["next"] = found[limit - 1][0]
        return answered(answer)

    async def _busiest(self, request: web.Request, by: str) -> web.StreamResponse:
        if by not in BUSIEST:
            raise Refusal(ErrorCode.BAD_MESSAGE, f"'by' must be {' or '.join(BUSIEST)}; without it rooms come by name")
        found = await self._all_pods.busiest(by, min(page_limit(request, _BUSY), _MOST_BUSY))
        return answered(
            {
                "rooms": found.rooms,
                "by": by,
                "seconds": found.seconds,
                "exact": found.exact,
                "complete": found.complete,
            }
        )

    async def _connections(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        user = name_in_path(request)
        grant.require(Scope.READ, self._backend.personal(user))
        connections, complete = await self._backend.connections(user)
        return answered({"connections": connections, "complete": complete})


async def _document(body: bytes, request: web.Request, grant: Grant) -> web.StreamResponse:
    return web.Response(body=body, content_type="application/json")
