"""Serves the page of the demo: its files, its requests, and the deploy button."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from demo.pods import ROOT
from demo.stage import ROOM, Stage, staged

_PAGE: Final = Path(__file__).parent / "page"
_GATEWAY_PAGE: Final = ROOT / "app" / "forestay" / "web" / "demo"
_FILES: Final = {
    "/": _PAGE / "index.html",
    "/main.js": _PAGE / "main.js",
    "/numbers.js": _PAGE / "numbers.js",
    "/style.css": _PAGE / "style.css",
    # The SDK, the colours and the flag come from the gateway's own page.
    "/forestay.js": _GATEWAY_PAGE / "forestay.js",
    "/theme.css": _GATEWAY_PAGE / "theme.css",
    "/logo.svg": _GATEWAY_PAGE / "logo.svg",
}


class Web:
    """Answers the page's requests about a stage."""

    def __init__(self) -> None:
        self.stage: Stage | None = None
        self.app = web.Application()
        for path, file in _FILES.items():
            self.app.router.add_get(path, _serve(file))
        self.app.router.add_get("/state", self._state)
        self.app.router.add_get("/token", self._token)
        self.app.router.add_post("/pods/{name}/deploy", self._deploy)

    @property
    def _there(self) -> Stage:
        if self.stage is None:
            raise web.HTTPServiceUnavailable(text="the pods are starting")
        return self.stage

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(self._there.report() | {"url": self._there.balancer.url, "room": ROOM})

    async def _token(self, request: web.Request) -> web.Response:
        return web.Response(text=self._there.token(request.query.get("viewer", "somebody")))

    async def _deploy(self, request: web.Request) -> web.Response:
        return web.Response(status=202 if self._there.deploy(request.match_info["name"]) else 409)


def _serve(file: Path) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(file, headers={"Cache-Control": "no-cache"})

    return answer


@asynccontextmanager
async def shown(port: int = 0) -> AsyncIterator[str]:
    """The address of the page, with all parts running. The balancer gets the next port, or a free one."""
    page = Web()
    runner = web.AppRunner(page.app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with staged(origin, port + 1 if port else 0) as page.stage:
            yield origin
    finally:
        await runner.cleanup()
