"""Builds the two ports of a pod with their limits, opens them, and closes them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from forestay.edge import problems
from forestay.edge.api.api import Api
from forestay.edge.client_address import TrustedProxies
from forestay.edge.listening.direct_upgrade import Upgrade
from forestay.edge.listening.http_protocol import ANSWER_TIMEOUT, HEAD_TIMEOUT
from forestay.edge.listening.listener import Listener
from forestay.edge.listening.lobby import Lobby, LobbyLimits
from forestay.edge.listening.routes import Handler, Routes
from forestay.edge.listening.servers import InternalServer, PublicServer
from forestay.edge.websocket.open_sockets import MessageLimits
from forestay.ops.health.probes import Health
from forestay.pod.file_limit import Files
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.settings.settings import Settings
from forestay.web.pages import ops_routes

# Seconds for requests under way when a port closes.
_SHUTDOWN: Final = 1.0

# The longest line of a request that aiohttp takes by default, and what a line has beside a token.
_LINE: Final = 8190
_BESIDE: Final = 1024

# Bytes of a request's head beside the lines with a token: cookies, and what proxies add.
_HEADERS: Final = 32 * 1024

# Bytes of all strangers together, for each of them: a share, or half of the largest token. Never less than the sum.
_SHARE: Final = 4096
_LEAST_BYTES: Final = 4 * 2**20


def line_bytes(token_bytes: int) -> int:
    """The longest line of a request, where a token has at most `token_bytes`. base64url makes it a third longer."""
    return max(_LINE, -(-token_bytes * 4 // 3) + _BESIDE)


def lobby_limits(settings: Settings, sockets: int, strangers: int) -> LobbyLimits:
    """What strangers may hold on a port with so many `sockets`, so many `strangers` among them."""
    line = line_bytes(settings.max_token_bytes)
    head = _HEADERS + 2 * line
    share = max(_SHARE, settings.max_token_bytes // 2)
    return LobbyLimits(
        strangers=strangers,
        sockets=sockets,
        head_bytes=head,
        all_bytes=max(strangers * share, _LEAST_BYTES),
        head_timeout=HEAD_TIMEOUT,
        answer_timeout=ANSWER_TIMEOUT,
    )


@dataclass(frozen=True, slots=True)
class PublicPaths:
    """What serves the paths of the public port."""

    handlers: Mapping[str, Handler]
    """See Routes."""
    elsewhere: Handler
    """Of all other paths."""
    upgrades: Mapping[str, Upgrade] = field(default_factory=dict)
    """See DirectPaths."""


class PublicPort:
    """The port of the clients."""

    def __init__(
        self,
        settings: Settings,
        files: Files,
        paths: PublicPaths,
        messages: MessageLimits,
        proxies: TrustedProxies,
    ) -> None:
        strangers = min(settings.handshakes, files.public)
        self._lobby = Lobby("public", lobby_limits(settings, files.public, strangers))
        line = line_bytes(settings.max_token_bytes)
        self._server = PublicServer(
            Routes(paths.handlers, paths.elsewhere), self._lobby, line, messages, proxies, paths.upgrades
        )
        self._listener = Listener(self._lobby, self._server.door)

    async def open(self, host: str, port: int) -> int:
        """Listen. Returns the port. Raises CannotListen."""
        return await self._listener.open(host, port)

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        closing = _close(self._listener, self._lobby, self._server)
        await asyncio.gather(closing, self._server.close_sockets(_SHUTDOWN))


class InternalPort:
    """The port of the probes, the metrics, the API and the operators' page."""

    def __init__(self, settings: Settings, files: Files, api: Api, health: Health) -> None:
        app = web.Application(middlewares=[_nowhere])
        app.add_routes([*api.routes(), *health.routes(), *ops_routes()])
        self._settings = settings
        self._files = files
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN)
        self._parts: tuple[Listener, Lobby, InternalServer] | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen. Returns the port. Raises CannotListen."""
        await self._runner.setup()
        made = self._runner.server
        if made is None:
            raise RuntimeError("aiohttp made no server for the application")
        lobby = Lobby("internal", lobby_limits(self._settings, self._files.internal, self._files.internal))
        server = InternalServer(made, lobby, line_bytes(self._settings.max_token_bytes))
        listener = Listener(lobby, server.door)
        self._parts = (listener, lobby, server)
        return await listener.open(host, port)

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        if self._parts is not None:
            await _close(*self._parts)
            self._parts = None
        await self._runner.cleanup()


@web.middleware
async def _nowhere(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        here = "there is nothing at this path of the internal port; clients connect to the public one"
        said = f"{here}, and the HTTP API is below /v1: docs/http-api.md lists its paths"
        return problems.problem(Refusal(ErrorCode.NOT_FOUND, said))


async def _close(listener: Listener, lobby: Lobby, server: web.Server) -> None:
    listener.close()
    lobby.clear()
    # Requests that have just come are handled first.
    await asyncio.sleep(0)
    server.pre_shutdown()
    await server.shutdown(_SHUTDOWN)
