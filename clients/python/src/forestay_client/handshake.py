"""The way in: a socket, a token, and the gateway's welcome."""

import asyncio

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from forestay_client import endings, sentences
from forestay_client.connection import CLOSE_TIMEOUT, Connection
from forestay_client.options import Options


class HandshakeError(Exception):
    def __init__(self, ending: endings.Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


async def open_connection(url: str, token: str, options: Options) -> Connection:
    """A connection that was welcomed. Raises HandshakeError."""
    try:
        async with asyncio.timeout(options.connect_timeout):
            return await _welcomed(url, token, options)
    except InvalidStatus as error:
        raise HandshakeError(endings.refused(error)) from error
    except ConnectionClosed as error:
        raise HandshakeError(endings.closed(error)) from error
    except TimeoutError as error:
        raise HandshakeError(endings.lost("no welcome in time")) from error
    # What is no welcome, or not read as one, comes from something that is no gateway, or not yet.
    except (WebSocketException, OSError, KeyError, TypeError, ValueError) as error:
        raise HandshakeError(endings.lost(str(error))) from error


async def _welcomed(url: str, token: str, options: Options) -> Connection:
    socket = await connect(
        url,
        subprotocols=[Subprotocol("forestay.v1")],
        additional_headers={"Authorization": f"Bearer {token}"},
        compression=None,
        ping_interval=None,
        close_timeout=CLOSE_TIMEOUT,
        # The gateway bounds what it says, and a page of history may be large.
        max_size=None,
        open_timeout=None,
        proxy=options.proxy,
        ssl=(options.ssl or True) if url.startswith("wss:") else None,
    )
    try:
        return Connection(socket, sentences.welcome(sentences.read(await socket.recv(decode=True))), token)
    except BaseException:
        socket.transport.abort()
        raise
