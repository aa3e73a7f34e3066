"""Upgrades a request to a WebSocket: answers the handshake, and takes the connection from aiohttp."""

import asyncio
import hashlib
from binascii import b2a_base64
from dataclasses import dataclass
from typing import Final, Protocol, cast

from aiohttp import hdrs, web

from forestay.edge.websocket.open_sockets import OpenSockets

UPGRADED: Final = web.Response(status=101)
"""What a handler returns whose request was upgraded. It is sent nowhere: aiohttp has nothing of the connection left."""

# RFC 6455 §1.3.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


# Not frozen: that would cost each connection a microsecond.
@dataclass(slots=True)
class Released:
    """The connection of a request, which aiohttp has let go."""

    transport: asyncio.Transport
    received: bytes
    """What the client has sent behind its request."""
    sockets: OpenSockets
    """Those of the port."""


@dataclass(slots=True)
class Upgraded:
    """A connection that is a WebSocket as soon as `answer` is sent."""

    connection: Released
    answer: bytes
    """The answer to the handshake. It is sent with the first message: one packet, which wakes the client once."""


class _Releasing(Protocol):
    def release(self) -> Released: ...


def upgrade(request: web.BaseRequest, subprotocol: str | None = None, extensions: str | None = None) -> Upgraded:
    """Upgrade `request`, whose form was checked. Raises ConnectionError where the connection broke meanwhile.

    `subprotocol`, `extensions`: those to answer with. The caller makes a ClientSocket of the result at once.
    """
    key = request.headers[hdrs.SEC_WEBSOCKET_KEY].strip().encode()
    # What the standard wants; nothing depends on it that an attacker could forge.
    accept = b2a_base64(hashlib.sha1(key + _GUID, usedforsecurity=False).digest(), newline=False)
    chosen = b"" if subprotocol is None else b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol.encode()
    if extensions is not None:
        chosen += b"Sec-WebSocket-Extensions: %b\r\n" % extensions.encode()
    answer = _ANSWER % (accept, chosen)
    return Upgraded(cast(_Releasing, request.protocol).release(), answer)


_ANSWER: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: %b\r\n%b"
    b"Server: forestay\r\n\r\n"
)
