"""The web pages that are printed in our documentation, served as Vite would serve them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from tests.support.local_redis import free_port
from tests.support.repository import ROOT, blocks

_CLIENT: Final = ROOT / "app" / "forestay" / "web" / "demo" / "forestay.js"
_IMPORTS: Final = '<script type="importmap">{"imports": {"forestay": "/forestay.js"}}</script>\n'
_GATEWAY: Final = "127.0.0.1:8080"


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """The address of a server with the web page of FILE.md at `/FILE.md?gateway=PORT`, for a gateway at that port."""

    async def page(request: web.Request) -> web.Response:
        [text] = blocks(request.match_info["file"], "html")
        assert text.count(_GATEWAY) == 1
        text = text.replace(_GATEWAY, f"127.0.0.1:{request.query['gateway']}")
        text = text.replace('<script type="module">', f'{_IMPORTS}<script type="module">', 1)
        return web.Response(text=text, content_type="text/html")

    async def client(_: web.Request) -> web.FileResponse:
        return web.FileResponse(_CLIENT)

    app = web.Application()
    app.router.add_get("/forestay.js", client)
    app.router.add_get("/{file:.+[.]md}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", port := free_port()).start()
        yield f"http://localhost:{port}"
    finally:
        await runner.cleanup()
