"""Serves HTTP on both ports: routes requests by path, and limits their time."""

import asyncio
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from aiohttp import web

from forestay.edge import time_limits
from forestay.edge.client_address import TrustedProxies
from forestay.edge.listening.direct_upgrade import DirectPaths, DirectUpgrade, Upgrade
from forestay.edge.listening.door import Door, Serving
from forestay.edge.listening.http_protocol import ANSWER_TIMEOUT, HttpProtocol, Port
from forestay.edge.listening.lobby import Lobby
from forestay.edge.listening.proxied_door import ProxiedDoor
from forestay.edge.listening.routes import Routes
from forestay.edge.listening.upgrade_request import read
from forestay.edge.problems import problem
from forestay.edge.websocket.open_sockets import MessageLimits, OpenSockets
from forestay.protocol.codes import ErrorCode, Refusal

_LATE: Final = Refusal(ErrorCode.BAD_MESSAGE, "the request took too long; send its body at once")


class _Server(Port):
    """Makes the protocols of one port."""

    # Whether a connection is a stranger no more when the head of its first request is complete.
    admits_requests = False

    def door(self) -> Door:
        """The protocol of a new connection."""
        return Door(self.lobby, self._enter)

    def _enter(self, door: Door, request: bytes) -> Serving:
        """What serves the connection that `request` has come from."""
        protocol = HttpProtocol(self, door)
        if self.admits_requests:
            protocol.admit()
        return protocol


def admit(request: web.BaseRequest) -> None:
    """Let the caller of `request` be no stranger any more: its body may be large, and its answer may take long.

    For use on the public port, when the caller is known. An upgrade to a WebSocket does it by itself.
    """
    protocol = request.protocol
    if isinstance(protocol, HttpProtocol):
        protocol.admit()
    if request.transport is not None and request.headers.get("Expect", "").lower() == "100-continue":
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class PublicServer(_Server):
    """Serves each path with its handler.

    A connection has one request. A second one on the same connection would come past the door.
    """

    def __init__(
        self,
        routes: Routes,
        lobby: Lobby,
        line_bytes: int,
        messages: MessageLimits,
        proxies: TrustedProxies,
        upgrades: Mapping[str, Upgrade] = MappingProxyType({}),
    ) -> None:
        """`proxies`: those that may say the client's address before the request. `upgrades`: see DirectPaths."""
        super().__init__(self._handle, lobby, line_bytes)
        self._proxies = proxies
        self.sockets = OpenSockets(messages, lobby.lost)
        self._direct = DirectPaths(upgrades, self.sockets, partial(HttpProtocol, self))
        self._routes = routes

    def door(self) -> Door:
        """The protocol of a new connection."""
        return ProxiedDoor(self.lobby, self._enter, self._proxies) if self._proxies else super().door()

    def _enter(self, door: Door, request: bytes) -> Serving:
        # A longer request can have a longer line than aiohttp takes.
        found = read(request, self._direct.upgrades) if len(request) <= self.line_bytes else None
        return super()._enter(door, request) if found is None else DirectUpgrade(door, found, self._direct)

    async def close_sockets(self, seconds: float) -> None:
        """Wait until no WebSocket is open, at most `seconds`, and end the others."""
        if self.sockets is not None:
            await self.sockets.close(seconds)
        self._direct.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        protocol = request.protocol
        try:
            response = await self._routes.find(request)(request)
        except ConnectionError:
            if request.transport is not None and not request.transport.is_closing():
                raise
            # The client has gone, so this goes nowhere.
            response = web.Response()
        finally:
            if isinstance(protocol, HttpProtocol):
                protocol.answered()
        response.force_close()
        return response


class InternalServer(_Server):
    """Serves the routes of an aiohttp application, with one time limit for each request.

    Those who can reach this port are no strangers once they ask: a request may have a body, and another one may follow.
    """

    admits_requests = True

    def __init__(self, app: web.Server, lobby: Lobby, line_bytes: int) -> None:
        """`app`: as aiohttp makes it of an application."""
        super().__init__(self._handle, lobby, line_bytes, app.request_factory)
        self._serve = app.request_handler

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        protocol = request.protocol
        if isinstance(protocol, HttpProtocol):
            self.lobby.busy(protocol)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT) as limit:
                time_limits.limit(request, limit)
                return await self._serve(request)
        except TimeoutError:
            if not limit.expired():
                raise
            return problem(_LATE, 408)
        finally:
            if isinstance(protocol, HttpProtocol) and protocol.connected:
                self.lobby.idle(protocol)
