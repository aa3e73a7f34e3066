"""Hands the messages of a native client, which speaks protocol version 1 on its own WebSocket, to the core."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Protocol

from forestay.core.fanout.connection import Connection
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.sessions import Sessions
from forestay.edge.websocket.websocket import ClientSocket
from forestay.protocol.codes import Ending
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.requests import Binary, Unreadable
from forestay.protocol.v1.wire import V1Wire


class NativeSocket(ClientSocket):
    """The Transport of a native client."""

    __slots__ = ("wire",)

    def __init__(self, transport: asyncio.Transport, wire: V1Wire, close_timeout: float) -> None:
        """See ClientSocket."""
        super().__init__(transport, close_timeout)
        self.wire = wire

    def tail(self, positions: Mapping[RoomName, Position], /) -> bytes:
        """Nothing: each message of this wire says its own position."""
        return b""


class Place(Protocol):
    """What a client has taken of the limits of the pod."""

    def leave(self) -> None:
        """Give it back."""


class NativeClient:
    """The Client of a native connection."""

    __slots__ = ("_connection", "_dispatcher", "_place", "_reader", "_sessions")

    def __init__(
        self, dispatcher: Dispatcher, sessions: Sessions, connection: Connection, wire: V1Wire, place: Place
    ) -> None:
        """`place`: the client's, until the connection is gone."""
        self._dispatcher = dispatcher
        self._sessions = sessions
        self._connection = connection
        self._reader = wire.reader
        self._place = place

    @property
    def name(self) -> str:
        """See Client.name."""
        return self._connection.id

    @property
    def ended(self) -> bool:
        """See Client.ended."""
        return self._connection.ended is not None

    def text(self, data: bytes) -> Awaitable[None] | None:
        """See Client.text."""
        connection = self._connection
        if connection.ended is not None:
            return None
        size = len(data)
        try:
            request = self._reader.read(data)
        except Unreadable as unreadable:
            self._dispatcher.reject(connection, unreadable, size)
            return None
        return self._dispatcher.dispatch(connection, request, size)

    def binary(self, data: bytes) -> Awaitable[None] | None:
        """See Client.binary."""
        if self._connection.ended is not None:
            return None
        return self._dispatcher.dispatch(self._connection, Binary(data=data), len(data))

    def ping(self, data: bytes) -> None:
        """See Client.ping."""
        if self._connection.ended is None:
            self._dispatcher.ping(self._connection, data)

    def pong(self) -> None:
        """See Client.pong."""
        if self._connection.ended is None:
            self._dispatcher.pong(self._connection)

    def end(self, ending: Ending) -> None:
        """See Client.end."""
        self._connection.end(ending)

    def lost(self, ending: Ending) -> None:
        """See Client.lost."""
        try:
            self._sessions.lost(self._connection, ending)
        finally:
            self._place.leave()
