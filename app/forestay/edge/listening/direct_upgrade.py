"""Upgrades the usual request for a WebSocket without aiohttp, whose objects cost a connect more than all the rest.

The same handler decides. Where the request may not connect, aiohttp gets it as it came, and its answer says why.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

import structlog
from aiohttp import web
from aiohttp.http import HttpVersion11
from yarl import URL

from forestay.edge.listening.door import Door, Serving
from forestay.edge.listening.upgrade_request import UpgradeRequest
from forestay.edge.websocket.open_sockets import OpenSockets
from forestay.edge.websocket.upgrade import Released

log = structlog.get_logger(__name__)

Upgrade = Callable[[web.BaseRequest], Awaitable[Exception | None]]
"""Upgrades a request. Returns why it may not connect; None where it was upgraded."""

FallBack = Callable[[Door, Exception | None], Serving]
"""Makes aiohttp's protocol, whose `refused` says why the request may not connect, where that is known."""


class DirectPaths:
    """The paths at which requests are upgraded without aiohttp, and the requests that are under way."""

    def __init__(self, upgrades: Mapping[str, Upgrade], sockets: OpenSockets, fall_back: FallBack) -> None:
        """`upgrades`: by path."""
        self.upgrades = upgrades
        self.urls = {path: URL(path, encoded=True) for path in upgrades}
        self.sockets = sockets
        self.fall_back = fall_back
        self.tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """End the requests that are under way."""
        for task in list(self.tasks):
            task.cancel()


class DirectUpgrade:
    """Serves one request, in the place of aiohttp's protocol. To a handler it looks like aiohttp's request."""

    method: Final = "GET"
    version: Final = HttpVersion11
    body_exists: Final = False

    __slots__ = ("_door", "_path", "_paths", "_received", "_released", "_request", "_transport", "client", "headers")

    def __init__(self, door: Door, request: UpgradeRequest, paths: DirectPaths) -> None:
        self._door = door
        self._path = request.path
        self._paths = paths
        self._request = self._received = b""
        """The request as it came, and what has come behind it."""
        self._transport: asyncio.Transport | None = None
        self._released = False
        self.headers = request.headers
        self.client = door.client
        """See Door.client."""

    @property
    def protocol(self) -> "DirectUpgrade":
        """What a handler asks for the client's address, and to let the connection go."""
        return self

    @property
    def rel_url(self) -> URL:
        """Where the request goes. It has no query."""
        return self._paths.urls[self._path]

    @property
    def remote(self) -> str | None:
        """The address that the connection comes from."""
        peer = None if self._transport is None else self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else None

    def release(self) -> Released:
        """Let the connection go, because its request is upgraded. Raises ConnectionError."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the connection broke during the upgrade")
        self._door.release()
        self._released = True
        return Released(transport, self._received, self._paths.sockets)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._request:
            self._received += data
            return
        self._request = data
        upgrading = self._paths.upgrades[self._path](cast(web.BaseRequest, self))
        task = asyncio.get_running_loop().create_task(self._serve(upgrading))
        self._paths.tasks.add(task)
        task.add_done_callback(self._paths.tasks.discard)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._transport = None

    def pause_writing(self) -> None:
        """Nothing is written here."""

    def resume_writing(self) -> None:
        """Nothing is written here."""

    async def _serve(self, upgrading: Awaitable[Exception | None]) -> None:
        refused = None
        try:
            refused = await upgrading
        except Exception:
            # Where aiohttp can still answer, it meets the same bug and reports it.
            if self._released:
                log.exception("a bug ended a request")
        transport = self._transport
        if self._released or transport is None or transport.is_closing():
            return
        self._door.serve_instead(self._paths.fall_back(self._door, refused), self._request + self._received)
