"""Upgrades a request to a WebSocket, with the options that hold for all of them."""

import asyncio
from dataclasses import dataclass

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from forestay.edge.websocket.frames import Frames, frames_of
from forestay.edge.websocket.websocket import ReadOnlyWebSocket


# Not frozen: that would cost each connection a microsecond.
@dataclass(slots=True)
class Upgraded:
    """A request that is a WebSocket now. Its answer is sent with the first bytes that `writer` is given."""

    ws: ReadOnlyWebSocket
    writer: AbstractStreamWriter
    transport: asyncio.Transport
    frames: Frames


async def upgrade(
    request: web.BaseRequest, message_bytes: int, send_buffer: int, subprotocol: str | None = None
) -> Upgraded:
    """Upgrade `request`, whose form was checked. Raises ConnectionError where the connection broke meanwhile.

    `message_bytes`: of the largest message from the client. `send_buffer`: bytes that may wait to be sent before the
    client's messages are no longer read.
    """
    ws = ReadOnlyWebSocket(
        autoclose=False,
        autoping=False,
        compress=False,
        # aiohttp refuses a message of this size, and not only a larger one.
        max_msg_size=message_bytes + 1,
    )
    if subprotocol is not None:
        # We choose the subprotocol: aiohttp would read only the first of several header lines.
        ws.headers["Sec-WebSocket-Protocol"] = subprotocol
    writer = await ws.prepare(request)
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the connection broke during the upgrade")
    transport.set_write_buffer_limits(send_buffer, send_buffer // 2)
    return Upgraded(ws, writer, transport, frames_of(request))
