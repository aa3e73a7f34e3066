"""Tells backends how the pods are, drains them, and lets a share of their clients move."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from forestay.core.cluster.all_pods import AllPods
from forestay.core.cluster.control_messages import PodStatus
from forestay.core.ports.operating import Rates, Vitals
from forestay.core.rules.scopes import Grant, Scope
from forestay.core.sessions.backend import Backend
from forestay.edge.api.audit import Audit
from forestay.edge.api.handler import BodyLimits, Paths, answered
from forestay.edge.request_parts import name_in_path, parse, read_body
from forestay.protocol.codes import ErrorCode, Refusal


class _Shed(Struct, frozen=True):
    share: Annotated[float, Meta(gt=0, le=1)]
    within: Annotated[float, Meta(ge=0, le=600)] = 30.0


_read_shed: Final = msgspec.json.Decoder(_Shed).decode


class Pods:
    """The paths about pods. They are about all rooms, and so is the right to them."""

    def __init__(self, backend: Backend, all_pods: AllPods, limits: BodyLimits, audit: Audit) -> None:
        self._backend = backend
        self._all_pods = all_pods
        self._limits = limits
        self._audit = audit

    def paths(self) -> Paths:
        return {
            "/v1/info": {"GET": self._info},
            "/v1/pods/{pod}/drain": {"POST": self._drain},
            "/v1/pods/{pod}/shed": {"POST": self._shed},
        }

    async def _info(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_in_all_rooms(Scope.READ)
        statuses, complete = await self._backend.pods()
        vitals = [one.vitals for one in statuses if one.vitals is not None]
        answer: dict[str, object] = {
            "pods": [_fields(one) for one in statuses],
            "connections": sum(one.connections for one in statuses),
            "complete": complete,
            "limit": sum(one.limit for one in vitals),
            "rates": _sums([one.rates for one in vitals if one.rates is not None]),
        }
        return answered(answer)

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

    async def _shed(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        name = name_in_path(request)
        body = await read_body(request, self._limits.message_bytes)
        wanted = parse(body, self._limits.depth, _read_shed, '{"share": …, "within"?: …}')
        pod = ""

        async def shed() -> Mapping[str, object]:
            nonlocal pod
            grant.require_in_all_rooms(Scope.MANAGE)
            pod = await self._backend.pod(name)
            asked = await self._all_pods.shed(pod, wanted.share, wanted.within)
            if asked is None:
                message = "the pod did not answer in time; GET /v1/info says how many of its connections are moving"
                raise Refusal(ErrorCode.OUTCOME_UNKNOWN, message)
            return {"asked": asked}

        whom = {"pod": name, "share": wanted.share, "within": wanted.within}
        done = await self._audit.run(request, grant, "shed", whom, shed)
        return answered({"pod": pod, **done})


def _sums(rates: Sequence[Rates]) -> dict[str, float]:
    """The rates of all pods together."""
    names = ("received", "received_bytes", "published", "delivered", "written_bytes")
    return {name: round(sum(getattr(one, name) for one in rates), 3) for name in names}


def _fields(status: PodStatus) -> dict[str, object]:
    bus: dict[str, object] = {"kind": status.bus, "up": status.bus_up}
    if status.round_trip is not None:
        bus["round_trip_ms"] = round(status.round_trip * 1000, 3)
    fields: dict[str, object] = {
        "pod": status.pod,
        "host": status.host,
        "version": status.version,
        "build": status.build,
        "state": status.state,
        "connections": status.connections,
        "rooms": status.rooms,
        "bus": bus,
    }
    if status.moving is not None:
        fields |= {"moving": status.moving, "slow": status.slow}
    return fields if status.vitals is None else fields | _vitals(status.vitals, status.connections)


def _vitals(vitals: Vitals, connections: int) -> dict[str, object]:
    fields: dict[str, object] = {
        "reason": vitals.reason,
        "limit": vitals.limit,
        "loop_lag_ms": round(vitals.loop_lag * 1000, 3),
        "worst_loop_lag_ms": round(vitals.worst_loop_lag * 1000, 3),
        "cpu_seconds": round(vitals.cpu_seconds, 3),
    }
    drain = vitals.drain
    if drain is not None:
        fields["drain"] = {
            "begun_at": round(drain.begun_at, 3),
            "window": drain.window,
            "from": drain.connections,
            "left": connections,
        }
    told = {"memory_bytes": vitals.memory_bytes, "started_at": vitals.started_at, "rates": vitals.rates}
    return fields | {name: value for name, value in told.items() if value is not None}
