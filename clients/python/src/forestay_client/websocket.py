"""Opens a WebSocket to a gateway."""

import logging
from collections.abc import Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import State
from websockets.typing import ExtensionParameter, Subprotocol

from forestay_client.codes import NORMAL
from forestay_client.endings import closed
from forestay_client.options import Options
from forestay_client.sockets import Closed

CLOSE_TIMEOUT = 5.0
"""Seconds for a close handshake, after which the socket is dropped."""

_WIRE = logging.getLogger("forestay_client.wire")
# At DEBUG the library logs what it writes, the token included; that the application logs at DEBUG is no wish for it.
_WIRE.setLevel(logging.WARNING)


class _Inflating(PerMessageDeflate):
    """Takes compressed messages, and sends plain ones: most of what a client says is short."""

    def encode(self, frame: Frame) -> Frame:
        return frame


class _Offer(ClientPerMessageDeflateFactory):
    """Offers to take compressed messages. The gateway compresses where it is told to."""

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> PerMessageDeflate:
        agreed = super().process_response_params(params, accepted_extensions)
        return _Inflating(
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
        )


class WebSocket:
    """See Socket."""

    binary = True

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @property
    def open(self) -> bool:
        return self._socket.state is State.OPEN

    async def recv(self) -> str | bytes:
        try:
            return await self._socket.recv()
        except ConnectionClosed as error:
            raise Closed(closed(error)) from None

    async def send(self, message: str | bytes) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as error:
            raise Closed(closed(error)) from None

    async def close(self) -> None:
        await self._socket.close(NORMAL)

    def abort(self) -> None:
        self._socket.transport.abort()


async def open_websocket(url: str, token: str, options: Options) -> WebSocket:
    """A WebSocket that the gateway has accepted. Raises what the library raises, and OSError."""
    return WebSocket(
        await connect(
            url,
            subprotocols=[Subprotocol("forestay.v1")],
            additional_headers={"Authorization": f"Bearer {token}"},
            compression=None,
            extensions=[_Offer()],
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
            # The gateway bounds what it says, and a page of history may be large.
            max_size=None,
            open_timeout=None,
            proxy=options.proxy,
            logger=_WIRE,
            ssl=(options.ssl or True) if url.startswith("wss:") else None,
        )
    )
