"""Shows operators what is going on: the busiest rooms, single connections, and what has happened a moment ago."""

import time
from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from forestay.core.cluster.all_pods import AllPods
from forestay.core.cluster.control_messages import Connected
from forestay.core.ports.operating import KINDS, MINUTES, Wanted
from forestay.core.rules.scopes import Grant, Scope
from forestay.edge.api.audit import Audit
from forestay.edge.api.handler import Paths, answered
from forestay.edge.request_parts import name_in_path, number_in_query, page_limit, query_value
from forestay.protocol.codes import ErrorCode, Refusal

# Characters of the id of a connection, and a few more.
LONGEST_ID: Final = 64


class Looking:
    """The paths for operators. What names users is about all users, and so is the right to it."""

    def __init__(self, all_pods: AllPods, audit: Audit) -> None:
        self._all_pods = all_pods
        self._audit = audit

    def paths(self) -> Paths:
        return {
            "/v1/connections/{id}": {"GET": self._connection, "DELETE": self._end},
            "/v1/slow": {"GET": self._slow},
            "/v1/recent": {"GET": self._recent},
            "/v1/closes": {"GET": self._closes},
        }

    async def _connection(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_everywhere(Scope.READ)
        return answered(await self._found(connection_in_path(request)))

    async def _found(self, id: str, *, end: bool = False) -> Connected:
        connection, complete = await self._all_pods.connection(id, end=end)
        if connection is None:
            raise no_connection(complete=complete)
        return connection

    async def _end(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        id = connection_in_path(request)

        async def end() -> Mapping[str, object]:
            grant.require_of_all_users(Scope.MANAGE)
            found = await self._found(id, end=True)
            return {"ended": 1, "user": found.user}

        return answered(await self._audit.run(request, grant, "disconnect", {"connection": id}, end))

    async def _slow(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_everywhere(Scope.READ)
        connections, complete = await self._all_pods.slow(page_limit(request))
        return answered({"connections": connections, "complete": complete})

    async def _recent(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_everywhere(Scope.READ)
        wanted = Wanted(
            limit=page_limit(request),
            kinds=_kinds(query_value(request, "kind")),
            user=query_value(request, "user"),
            connection=connection_in_query(request),
            room=query_value(request, "room"),
        )
        found, complete = await self._all_pods.recent(wanted)
        recent = [{"pod": pod, **msgspec.to_builtins(one)} for pod, one in found]
        return answered({"recent": recent, "complete": complete})

    async def _closes(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_in_all_rooms(Scope.READ)
        number = number_in_query(request, "minutes", 1, MINUTES, 60)
        minutes, complete = await self._all_pods.minutes(number, int(time.time()) // 60 * 60)
        return answered({"minutes": minutes, "complete": complete})


def connection_in_path(request: web.BaseRequest, place: int = -1) -> str:
    """The id of a connection in the path. Raises Refusal."""
    id = name_in_path(request, place)
    if not 0 < len(id) <= LONGEST_ID:
        raise Refusal(ErrorCode.BAD_MESSAGE, f"the id of a connection has 1 to {LONGEST_ID} characters")
    return id


def connection_in_query(request: web.BaseRequest) -> str | None:
    """The id in `?connection=`; None where it is missing. Raises Refusal."""
    id = query_value(request, "connection")
    if id is not None and not 0 < len(id) <= LONGEST_ID:
        raise Refusal(ErrorCode.BAD_MESSAGE, f"'connection' must be an id of 1 to {LONGEST_ID} characters")
    return id


def no_connection(*, complete: bool) -> Refusal:
    """Why a connection cannot be shown or ended."""
    if complete:
        message = "there is no such connection; GET /v1/recent?connection= says how it ended, for a while"
        return Refusal(ErrorCode.NOT_FOUND, message)
    return Refusal(ErrorCode.OUTCOME_UNKNOWN, "not all pods answered, and the others do not have it; a repeat is safe")


def _kinds(text: str | None) -> list[str]:
    kinds = list(KINDS) if text is None else text.split(",")
    for kind in kinds:
        if kind not in KINDS:
            raise Refusal(ErrorCode.BAD_MESSAGE, f"'kind' must be some of {', '.join(KINDS)}, with commas")
    return kinds
