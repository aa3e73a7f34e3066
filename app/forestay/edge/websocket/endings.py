"""Ends one connection: its client closes it or breaks a rule, a message meets a bug, or the port closes.

Whatever it is, its client is told once, at last.
"""

import asyncio
from typing import Final

from forestay.edge.websocket.client import Client
from forestay.edge.websocket.states import State
from forestay.edge.websocket.upgrade import Released
from forestay.edge.websocket.websocket import ClientSocket
from forestay.protocol.codes import ABNORMAL_CLOSURE, CONNECTION_LOST, ENDINGS, CloseCode, Ending
from forestay.protocol.websocket.reading import FrameReader

BUG: Final = "a bug ended a connection"
"""What the log says where a message met one."""

_STOPPED: Final = Ending(ABNORMAL_CLOSURE, "the port was closed")

# Stands for the reader of a client from which nothing more is taken.
NO_READER: Final = FrameReader(0, 0)


class Endings:
    """One connection and its state, and all ways in which it ends. Receiver reads it."""

    __slots__ = ("_assemblies", "_client", "_finished", "_lost", "_reader", "_socket", "_state", "_transport", "_work")

    def __init__(self, connection: Released, socket: ClientSocket) -> None:
        self._transport = connection.transport
        self._assemblies = connection.sockets.assemblies
        self._socket = socket
        self._state = State.OPENING
        self._client: Client | None = None
        self._reader: FrameReader | None = None
        """None while messages are read, and nothing is left of one."""
        self._work: asyncio.Task[None] | None = None
        self._finished = self._lost = False
        """Whether the client has closed its side, and whether the connection is lost."""

    def discard(self) -> None:
        """Discard what the client still sends until it hangs up, at most the close timeout. Then abort.

        Without it the kernel would reset the connection, and the client could lose our close frame.
        """
        if self._lost:
            self._tell(CONNECTION_LOST)
            return
        self._state, self._reader = State.DISCARDING, NO_READER
        if self._finished:
            self._socket.hang_up()
        else:
            self._transport.resume_reading()
            self._socket.end_writing()

    def reading(self) -> bool:
        """See OpenSocket.reading."""
        return self._state is State.READING and self._transport.is_reading()

    def break_off(self, ending: Ending) -> None:
        """See OpenSocket.break_off."""
        self._assemblies.end(self)
        if self._client is not None:
            self._client.end(ending)
        self.discard()

    def stop(self) -> None:
        """See OpenSocket.stop."""
        if self._work is not None:
            self._work.cancel()
            self._work = None
        self._tell(_STOPPED)
        self._transport.abort()

    def _ended_by_client(self, client: Client, ending: Ending) -> None:
        """The client has said all. Write what it is still to get."""
        client.end(ending)
        self._socket.hang_up()
        self._tell(ending)

    def _fail(self, client: Client) -> None:
        """End a client whose message met a bug."""
        client.end(ENDINGS[CloseCode.INTERNAL_ERROR])
        self.discard()

    def _tell(self, ending: Ending) -> None:
        """Tell the client, once, that the connection is gone."""
        self._state, self._reader = State.OVER, NO_READER
        client, self._client = self._client, None
        if client is not None:
            client.lost(ending)
