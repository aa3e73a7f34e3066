"""Answers the three probes and serves the metrics, from memory only.

`/startupz`: has the pod started? `/livez`: does the event loop answer? `/readyz`: should new connections come here?
"""

from collections.abc import Callable

import msgspec
from aiohttp import web

from forestay.core.rules.lifecycle import Lifecycle
from forestay.ops.health.readiness import Readiness

Render = Callable[[str], tuple[bytes, str]]


class Health:
    def __init__(self, lifecycle: Lifecycle, readiness: Readiness, render_metrics: Render) -> None:
        self._lifecycle = lifecycle
        self._readiness = readiness
        self._render_metrics = render_metrics

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/livez", self._live),
            web.get("/readyz", self._ready),
            web.get("/startupz", self._started),
            web.get("/metrics", self._metrics),
        ]

    async def _live(self, request: web.Request) -> web.StreamResponse:
        return self._answer({})

    async def _started(self, request: web.Request) -> web.StreamResponse:
        [first, *_] = self._readiness.checks()
        return self._answer({"starting": (self._readiness.started, first.reason)})

    async def _ready(self, request: web.Request) -> web.StreamResponse:
        return self._answer({check.name: (check.ok, check.reason) for check in self._readiness.checks()})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        body, content_type = self._render_metrics(", ".join(request.headers.getall("Accept", [])))
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _answer(self, checks: dict[str, tuple[bool, str]]) -> web.Response:
        """Return 200 if every check holds, else 503. The body has the reason of each check."""
        failing = [name for name, (ok, _) in checks.items() if not ok]
        body = {
            "ok": not failing,
            "state": self._lifecycle.state.value,
            "failing": failing,
            "checks": {name: {"ok": ok, "reason": reason} for name, (ok, reason) in checks.items()},
        }
        status = 503 if failing else 200
        return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
