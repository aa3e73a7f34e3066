"""Three probes, three different questions, and the metrics beside them. Every answer comes from memory.

`/startupz`: has it started? `/livez`: does the event loop answer at all? `/readyz`: should new connections come here?
"""

from collections.abc import Callable

import msgspec
from aiohttp import web

from app.core.lifecycle import Lifecycle, State

Full = Callable[[], bool]
Render = Callable[[str], tuple[bytes, str]]


class Health:
    def __init__(self, lifecycle: Lifecycle, full: Full, render_metrics: Render) -> None:
        """`full`: whether the pod has all the connections that it may have."""
        self._lifecycle = lifecycle
        self._full = full
        self._render_metrics = render_metrics

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/livez", self._live),
            web.get("/readyz", self._ready),
            web.get("/startupz", self._started),
            web.get("/metrics", self._metrics),
        ]

    async def _live(self, request: web.Request) -> web.StreamResponse:
        return _answer({})

    async def _started(self, request: web.Request) -> web.StreamResponse:
        return _answer({"started": self._lifecycle.state is not State.STARTING})

    async def _ready(self, request: web.Request) -> web.StreamResponse:
        return _answer({self._lifecycle.state.value: self._lifecycle.open, "room for more": not self._full()})

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        body, content_type = self._render_metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _answer(checks: dict[str, bool]) -> web.Response:
    """200 where every check holds, else 503; the body names each."""
    failing = [name for name, holds in checks.items() if not holds]
    body = {"ok": not failing, "failing": failing}
    return web.Response(status=503 if failing else 200, body=msgspec.json.encode(body), content_type="application/json")
