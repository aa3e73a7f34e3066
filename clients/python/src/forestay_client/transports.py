"""Chooses what carries the next connection: a WebSocket, or an event stream where WebSockets are blocked."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from forestay_client.codes import Verdict
from forestay_client.connection import Connection
from forestay_client.endings import Ending
from forestay_client.handshake import Blocked, HandshakeError, open_connection
from forestay_client.options import Options
from forestay_client.streaming import open_stream
from forestay_client.websocket import open_websocket

_LOG = logging.getLogger("forestay_client")

_STAY: Final = 300.0
"""Seconds for which a client stays with streams after it has fallen back: at least, and up to twice as long."""

_LONGEST_STAY: Final = 3600.0
"""The same, for a client that has fallen back again and again."""

_STEADY: Final = 60.0
"""Seconds after which a WebSocket has shown that it is not blocked any more."""

_DOUBTFUL: Final = 2
"""Failures in a row that may have another reason, such as a pod that has just ended."""


class Transports:
    """The ways to one gateway, and what is known of them."""

    def __init__(self, url: str, options: Options, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._options = options
        self._clock = clock
        self._until = 0.0
        """When a WebSocket may be tried again."""
        self._stay = _STAY
        self._failures = 0
        """WebSockets in a row that had no welcome."""

    async def open(self, token: str) -> Connection:
        """A connection that was welcomed. Raises HandshakeError."""
        given = self._options.transports
        patience = self._options.connect_timeout
        if "websocket" not in given or self._clock() < self._until:
            return await open_connection(open_stream, self._url, token, self._options, patience)
        if "stream" not in given:
            return await open_connection(open_websocket, self._url, token, self._options, patience)
        begun = self._clock()
        try:
            connection = await open_connection(open_websocket, self._url, token, self._options, patience / 2)
        except HandshakeError as failed:
            self._failures += 1
            if failed.blocked < (Blocked.LIKELY if self._failures < _DOUBTFUL else Blocked.PERHAPS):
                raise
            left = patience - (self._clock() - begun)
            return await self._fall_back(token, left, failed)
        self._failures = 0
        connection.closed.add_done_callback(lambda _: self._lived(begun))
        return connection

    async def _fall_back(self, token: str, patience: float, failed: HandshakeError) -> Connection:
        try:
            connection = await open_connection(open_stream, self._url, token, self._options, patience)
        except HandshakeError as later:
            raise _told(failed.ending, later.ending) from None
        stay = self._stay * (1 + random.random())
        self._failures = 0
        self._until = self._clock() + stay
        self._stay = min(2 * self._stay, _LONGEST_STAY)
        _LOG.warning("WebSockets are blocked here (%s); event streams for %.0f s", failed.ending, stay)
        return connection

    def _lived(self, begun: float) -> None:
        if self._clock() - begun > _STEADY:
            self._stay = _STAY


def _told(websocket: Ending, stream: Ending) -> HandshakeError:
    """What became of the WebSocket. But where a stream can work later, nothing of a proxy's is a reason to stop."""
    if websocket.verdict is Verdict.STOP and stream.verdict is Verdict.RECONNECT:
        websocket = replace(websocket, verdict=stream.verdict, retry_after=stream.retry_after)
    return HandshakeError(websocket)
