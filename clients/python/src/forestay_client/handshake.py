"""The way in: a socket, a token, and the gateway's welcome."""

import asyncio
import logging

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from forestay_client import endings, sentences
from forestay_client.connection import CLOSE_TIMEOUT, Connection
from forestay_client.options import Options

_WIRE = logging.getLogger("forestay_client.wire")
# At DEBUG the library logs what it writes, the token included; that the application logs at DEBUG is no wish for it.
_WIRE.setLevel(logging.WARNING)


class HandshakeError(Exception):
    def __init__(self, ending: endings.Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


async def open_connection(url: str, token: str, options: Options) -> Connection:
    """A connection that was welcomed. Raises HandshakeError."""
    try:
        async with asyncio.timeout(options.connect_timeout):
            return await _welcomed(url, token, options)
    except HandshakeError:
        raise
    except InvalidStatus as error:
        ending = endings.refused(error, token)
    except ConnectionClosed as error:
        ending = endings.closed(error)
    except Exception as error:  # noqa: BLE001 - what is no welcome comes from something that is no gateway, or not yet
        ending = endings.failed(error)
    # Without its cause, whose words may have the token in them.
    raise HandshakeError(ending) from None


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
        logger=_WIRE,
        ssl=(options.ssl or True) if url.startswith("wss:") else None,
    )
    try:
        welcome = sentences.read(await socket.recv(decode=True))
        return Connection(socket, sentences.welcome(welcome), token)
    except (AttributeError, KeyError, TypeError, ValueError):
        socket.transport.abort()
        raise HandshakeError(endings.lost("no welcome", "what answers at this address is no gateway")) from None
    except BaseException:
        socket.transport.abort()
        raise
