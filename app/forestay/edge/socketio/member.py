"""Hands the events of a client in one namespace to the core, and ends it there when the core does."""

from collections.abc import Awaitable
from typing import Final

from forestay.core.fanout.connection import Connection
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.sessions import Sessions
from forestay.edge.socketio.transport import NamespaceTransport
from forestay.protocol.codes import Ending
from forestay.protocol.requests import Pong, Unreadable
from forestay.protocol.socketio.packets import Event, RefusedEvent
from forestay.protocol.socketio.reader import Reader

# Any request that does nothing. It counts for the client's rate.
_NOTHING: Final = Pong()


class ConnectedMember:
    """The Member of a connection of the core."""

    __slots__ = ("_connection", "_dispatcher", "_reader", "_sessions", "_transport")

    def __init__(
        self,
        connection: Connection,
        transport: NamespaceTransport,
        sessions: Sessions,
        dispatcher: Dispatcher,
        reader: Reader,
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._reader = reader

    def event(self, event: Event) -> Awaitable[None] | None:
        """See Member.event."""
        connection = self._connection
        if connection.ended is not None:
            return None
        try:
            request = self._reader.read(event)
        except Unreadable as unreadable:
            self._dispatcher.reject(connection, unreadable, event.size)
            return None
        return self._dispatcher.dispatch(connection, request, event.size)

    def refused(self, refused: RefusedEvent) -> None:
        """See Member.refused."""
        if self._connection.ended is None:
            self._dispatcher.reject(self._connection, Unreadable(refused.refusal, refused.id), refused.size)

    def acknowledged(self, size: int) -> None:
        """See Member.acknowledged."""
        if self._connection.ended is None:
            self._dispatcher.dispatch(self._connection, _NOTHING, size)

    def end(self, ending: Ending) -> None:
        """See Member.end."""
        self._connection.end(ending)

    def lost(self, ending: Ending) -> None:
        """See Member.lost."""
        self._sessions.lost(self._connection, ending)
        # The connection holds its transport: without this the two would wait for the garbage collector.
        self._transport.connection = None
