"""Tells backends how the pods are, and drains them."""

from collections.abc import Mapping

from aiohttp import web

from forestay.core.cluster.control_messages import PodStatus
from forestay.core.rules.scopes import Grant, Scope
from forestay.core.sessions.backend import Backend
from forestay.edge.api.audit import Audit
from forestay.edge.api.handler import Paths, answered
from forestay.edge.request_parts import name_in_path


class Pods:
    """The paths about pods. They are about all rooms, and so is the right to them."""

    def __init__(self, backend: Backend, audit: Audit) -> None:
        self._backend = backend
        self._audit = audit

    def paths(self) -> Paths:
        return {"/v1/info": {"GET": self._info}, "/v1/pods/{pod}/drain": {"POST": self._drain}}

    async def _info(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_in_all_rooms(Scope.READ)
        statuses, complete = await self._backend.pods()
        connections = sum(one.connections for one in statuses)
        return answered({"pods": [_fields(one) for one in statuses], "connections": connections, "complete": complete})

    async def _drain(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        name = name_in_path(request)
        begun = False
        status: PodStatus

        async def drain() -> Mapping[str, object]:
            nonlocal begun, status
            grant.require_in_all_rooms(Scope.MANAGE)
            status, begun = await self._backend.drain(name)
            return {"begun": begun}

        await self._audit.run(request, grant, "drain", {"pod": name}, drain)
        return answered(_fields(status), 202 if begun else 200)


def _fields(status: PodStatus) -> dict[str, object]:
    bus: dict[str, object] = {"kind": status.bus, "up": status.bus_up}
    if status.round_trip is not None:
        bus["round_trip_ms"] = round(status.round_trip * 1000, 3)
    return {
        "pod": status.pod,
        "host": status.host,
        "version": status.version,
        "build": status.build,
        "state": status.state,
        "connections": status.connections,
        "rooms": status.rooms,
        "bus": bus,
    }
