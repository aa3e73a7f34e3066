"""What a script can ask for: tokens, cuts of its connections, other nodes, and what a backend does."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import jwt
from aiohttp import web

from demo.balancer import Balancer
from tests.socketio_peers.install import SCRIPTS, javascript
from tests.socketio_peers.nodes import SECRET, Node

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CALM: Final = 0.3
"""Seconds after which a client that has nothing to send has a poll under way."""
_RIGHTS: Final = {"carol": {"news": "r"}}
"""Users who may not do everything."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a script runs: the addresses of both sides, each with a balancer of its own, and of the control."""

    a: str
    b: str
    control: str


class Control:
    """An HTTP server of plain GETs, so that a script in any language can call it."""

    def __init__(self, nodes: tuple[Node, Node], sides: dict[str, Balancer]) -> None:
        self._nodes = nodes
        self._sides = sides
        self._stopping: asyncio.Task[None] | None = None

    def application(self) -> web.Application:
        application = web.Application()
        routes = [web.get(f"/{name}", handler) for name, handler in self._handlers().items()]
        routes += [web.get("/socket.io.js", _client), web.get("/script.mjs", _script), web.get("/", _page)]
        application.add_routes(routes)
        application.on_response_prepare.append(_open_to_all)
        return application

    def _handlers(self) -> dict[str, Handler]:
        return {
            "token": _token,
            "route": self._route,
            "cut": self._cut,
            "emit": self._emit,
            "disconnect": self._disconnect,
            "stop": self._stop,
        }

    async def _route(self, request: web.Request) -> web.Response:
        """Send new connections of a side to a node, or nowhere."""
        to = request.query["to"]
        self._sides[request.query["side"]].taking = [] if to == "none" else [self._nodes[int(to) - 1].port]
        return web.Response()

    async def _cut(self, request: web.Request) -> web.Response:
        """The same, and cut the connections that are there."""
        await self._route(request)
        # A client that polls has no connection between two polls.
        await asyncio.sleep(_CALM)
        self._sides[request.query["side"]].cut()
        return web.Response()

    async def _emit(self, request: web.Request) -> web.Response:
        query = request.query
        await self._nodes[0].emit(query["room"], query["event"], json.loads(query["args"]))
        return web.Response()

    async def _disconnect(self, request: web.Request) -> web.Response:
        await self._nodes[1].disconnect(request.query["user"])
        return web.Response()

    async def _stop(self, request: web.Request) -> web.Response:
        """Send new connections elsewhere, and stop the node that a side was on."""
        await self._route(request)
        self._stopping = asyncio.create_task(self._nodes[0].stop())
        return web.Response()


async def _token(request: web.Request) -> web.Response:
    user, kind = request.query["user"], request.query["kind"]
    claims: dict[str, object] = {"sub": user, "exp": int(time.time()) + (-60 if kind == "expired" else 3600)}
    claims["rooms"] = _RIGHTS.get(user, {"**": "rw"})
    secret = SECRET if kind != "bad" else "another secret, of thirty-two bytes or more"
    return web.Response(text=jwt.encode(claims, secret, algorithm="HS256"))


async def _open_to_all(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Access-Control-Allow-Origin"] = "*"


async def _client(_: web.Request) -> web.FileResponse:
    return web.FileResponse(javascript() / "node_modules" / "socket.io-client" / "dist" / "socket.io.js")


async def _script(_: web.Request) -> web.FileResponse:
    return web.FileResponse(SCRIPTS / "script.mjs", headers={"Content-Type": "text/javascript"})


async def _page(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><script src=/socket.io.js></script>", content_type="text/html")


@asynccontextmanager
async def stage(nodes: tuple[Node, Node]) -> AsyncIterator[Stage]:
    """The control and the balancers: side a leads to the first node, side b to the second."""
    async with AsyncExitStack() as stack:
        sides = {}
        for side, node in zip("ab", nodes, strict=True):
            sides[side] = Balancer([node.port])
            await sides[side].open()
            stack.push_async_callback(sides[side].close)
        control = web.AppRunner(Control(nodes, sides).application())
        await control.setup()
        stack.push_async_callback(control.cleanup)
        site = web.TCPSite(control, "127.0.0.1", 0)
        await site.start()
        [port] = (address[1] for address in control.addresses)
        yield Stage(*(f"http://127.0.0.1:{one}" for one in (sides["a"].port, sides["b"].port, port)))
