"""Receives a connection that may come from a trusted proxy: reads its PROXY header before the request."""

import asyncio
from collections.abc import Callable

from forestay.edge.client_address import TrustedProxies
from forestay.edge.listening.door import Door, Serving
from forestay.edge.listening.lobby import Lobby
from forestay.edge.listening.proxy_protocol import Malformed, ProxyHeader, read_header


class ProxiedDoor(Door):
    """A Door that takes the client's address from a PROXY header. Only trusted proxies may send one."""

    __slots__ = ("_proxies", "_start")

    def __init__(self, lobby: Lobby, make: Callable[[Door, bytes], Serving], proxies: TrustedProxies) -> None:
        super().__init__(lobby, make)
        self._proxies = proxies
        self._start: bytes | None = None
        """What has come before the end of the header; None where no header is expected."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if peer and self._proxies.trusts(peer[0]):
            self._start = b""

    def data_received(self, data: bytes) -> None:
        if self._start is None:
            super().data_received(data)
            return
        start = self._start = self._start + data
        try:
            header = read_header(start)
        except Malformed:
            # The parser of requests refuses it too, and answers.
            header = ProxyHeader(0, None)
        if header is not None:
            self.client, self._start = header.client, None
            if len(start) > header.size:
                super().data_received(start[header.size :])
