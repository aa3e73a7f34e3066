"""The way in: a socket, a token, and the gateway's welcome."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import IntEnum

from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidStatus, ProxyError

from forestay_client import endings, sentences
from forestay_client.codes import LOST
from forestay_client.connection import Connection
from forestay_client.options import Options
from forestay_client.sockets import Closed, Socket

Opener = Callable[[str, str, Options], Awaitable[Socket]]
"""Opens what carries a connection, at an address, with a token."""


class Blocked(IntEnum):
    """Whether something between here and the gateway takes no WebSockets."""

    NO = 0
    PERHAPS = 1
    """Or a pod has just ended."""
    LIKELY = 2


class HandshakeError(Exception):
    def __init__(self, ending: endings.Ending, blocked: Blocked = Blocked.NO) -> None:
        super().__init__(ending.reason)
        self.ending = ending
        self.blocked = blocked


async def open_connection(opener: Opener, url: str, token: str, options: Options, patience: float) -> Connection:
    """A connection that was welcomed within `patience` seconds. Raises HandshakeError."""
    try:
        async with asyncio.timeout(patience):
            return await _welcomed(opener, url, token, options)
    except HandshakeError:
        raise
    except InvalidStatus as error:
        ending, blocked = endings.refused(error.response, token), _by_status(error)
    except Closed as error:
        ending, blocked = error.ending, Blocked.PERHAPS if error.ending.code == LOST else Blocked.NO
    except Exception as error:  # noqa: BLE001 - what is no welcome comes from something that is no gateway, or not yet
        ending, blocked = endings.failed(error), _by_failure(error)
    # Without its cause, whose words may have the token in them.
    raise HandshakeError(ending, blocked) from None


async def _welcomed(opener: Opener, url: str, token: str, options: Options) -> Connection:
    socket = await opener(url, token, options)
    try:
        welcome = await socket.recv()
        if isinstance(welcome, bytes):
            raise TypeError
        return Connection(socket, sentences.welcome(sentences.read(welcome)), token)
    except (AttributeError, KeyError, TypeError, ValueError):
        socket.abort()
        raise HandshakeError(endings.lost("no welcome", "what answers at this address is no gateway")) from None
    except BaseException:
        socket.abort()
        raise


def _by_status(error: InvalidStatus) -> Blocked:
    """A refusal of the gateway is none of a proxy, but for those that say that the upgrade has got lost."""
    code = endings.problem_of(error.response.body).get("code")
    return Blocked.LIKELY if code in (None, "bad_message") else Blocked.NO


def _by_failure(error: Exception) -> Blocked:
    if isinstance(error, InvalidProxy | ProxyError | ConnectionRefusedError):
        return Blocked.NO
    if isinstance(error, TimeoutError | InvalidHandshake):
        return Blocked.LIKELY
    return Blocked.PERHAPS if isinstance(error, EOFError | ConnectionError) else Blocked.NO
