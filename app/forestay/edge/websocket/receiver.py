"""Reads one WebSocket: hands its messages on in a callback, and tells their client how the connection ended."""

import asyncio
from collections.abc import Awaitable
from typing import Final

import structlog

from forestay.edge.dead_transport import free
from forestay.edge.websocket.client import Client, hand_on
from forestay.edge.websocket.endings import BUG, NO_READER, Endings
from forestay.edge.websocket.states import State
from forestay.edge.websocket.upgrade import Released
from forestay.edge.websocket.websocket import ClientSocket, SocketLimits
from forestay.protocol.codes import CONNECTION_LOST, closed_by_client
from forestay.protocol.websocket.reading import FrameReader, Kind, Violation
from forestay.protocol.websocket.unmasking import whole_text

log = structlog.get_logger(__name__)

# Messages that one client may send before the other clients get their turn. Without it, a client with a full receive
# buffer would be served until the buffer is empty.
_TURN: Final = 64
# A long message counts as one more message for each of these bytes.
_BYTES_PER_MESSAGE: Final = 4096
# Bytes that are kept of a client whose messages have to wait. With more than that, nothing more is read from it.
_KEPT: Final = 65536

_MESSAGES: Final = (Kind.TEXT, Kind.BINARY)


class Receiver(Endings, asyncio.Protocol):
    """The protocol of one connection, from the upgrade until it is lost."""

    __slots__ = ("_full", "_limits", "_sockets")

    def __init__(self, connection: Released, socket: ClientSocket, limits: SocketLimits) -> None:
        """Take the connection over. `socket`: the one that writes to it."""
        super().__init__(connection, socket)
        self._limits = limits
        self._sockets = connection.sockets
        self._reader = self._new_reader()
        self._full = False
        """Whether the transport has too much to write."""
        transport = connection.transport
        transport.set_write_buffer_limits(limits.send_buffer, limits.send_buffer // 2)
        transport.set_protocol(self)
        self._sockets.add(self)
        if connection.received:
            self.data_received(connection.received)

    def begin(self, client: Client) -> None:
        """Hand what comes on to `client`, and what has come."""
        self._client = client
        self._go_on()

    def data_received(self, data: bytes) -> None:
        reader, client = self._reader, self._client
        if reader is None and client is not None:
            # Nearly always: one short text message, all of it and nothing else.
            text = whole_text(data, self._limits.message_bytes)
            if text is not None:
                try:
                    work = client.text(text)
                except Exception:
                    log.exception(BUG, connection=client.name)
                    self._fail(client)
                    return
                if work is not None or self._socket.reading_held:
                    self._reader = self._new_reader()
                    self._hold(work, client)
                return
            reader = self._reader = self._new_reader()
        if reader is None or reader is NO_READER:
            return
        reader.feed(data)
        if self._state is State.READING:
            self._go_on()
        elif reader.waiting > _KEPT:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._finished = True
        if self._state is State.READING:
            self._go_on()
        elif self._state is State.DISCARDING:
            self._socket.hang_up()
        # The transport must not close itself: something may be still to be written.
        return True

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._state is State.FULL:
            self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost, self._full = True, False
        self._socket.lost()
        self._assemblies.end(self)
        self._sockets.remove(self)
        free(self._transport)
        if self._state in (State.READING, State.DISCARDING):
            self._tell(CONNECTION_LOST)
        elif self._state is State.FULL:
            self._rest()

    def _go_on(self) -> None:
        """Read on, unless the connection has ended meanwhile."""
        client, reader = self._client, self._reader
        if client is None or reader is NO_READER:
            return
        self._state = State.READING
        try:
            if reader is not None and not self._hand_on(client, reader):
                return
            if self._finished and not self._lost:
                self._ended_by_client(client, CONNECTION_LOST)
                return
        except Violation as violation:
            self.break_off(violation.ending)
            return
        except Exception:
            log.exception(BUG, connection=client.name)
            self._fail(client)
            return
        if reader is not None and reader.whole:
            self._reader = None
            self._assemblies.end(self)
        if self._lost:
            self._tell(CONNECTION_LOST)
            return
        if self._reader is not None and self not in self._assemblies:
            self._assemblies.begin(self)
        self._transport.resume_reading()

    def _hand_on(self, client: Client, reader: FrameReader) -> bool:
        """Hand on the messages in `reader`. False where the rest has to wait, or is dropped. Raises Violation."""
        turn, begun = 0, True
        while True:
            data = reader.text()
            if data is not None:
                is_message, work = True, client.text(data)
            else:
                event = reader.next()
                if event is None:
                    return True
                if event.kind is Kind.CLOSE:
                    self._ended_by_client(client, closed_by_client(event.code))
                    return False
                data, is_message, work = event.data, event.kind in _MESSAGES, hand_on(event, client)
            if begun and is_message:
                self._assemblies.end(self)
                begun = False
            if (work is not None or self._socket.reading_held) and self._hold(work, client):
                return False
            turn += 1 + len(data) // _BYTES_PER_MESSAGE
            if turn >= _TURN:
                self._rest()
                return False

    def _hold(self, work: Awaitable[None] | None, client: Client) -> bool:
        """Take no further message before `work` is done, or the client has taken what was written. Whether it waits."""
        if work is not None:
            self._state = State.WORKING
            self._work = asyncio.get_running_loop().create_task(self._finish(work, client))
            return True
        if self._full and not client.ended:
            self._state = State.FULL
            return True
        self._socket.reading_held = False
        return False

    async def _finish(self, work: Awaitable[None], client: Client) -> None:
        try:
            await work
            # Large answers are written before more of them are made: a bus may answer without a wait.
            await asyncio.sleep(0)
        except Exception:
            log.exception(BUG, connection=client.name)
            self._work = None
            self._fail(client)
            return
        self._work = None
        if self._socket.reading_held and self._hold(None, client):
            return
        self._go_on()

    def _rest(self) -> None:
        """Read on in the next turn of the loop."""
        self._state = State.RESTING
        self._socket.reading_held = False
        asyncio.get_running_loop().call_soon(self._go_on)

    def _new_reader(self) -> FrameReader:
        return FrameReader(self._limits.message_bytes, self._assemblies.limits.fragments, self._limits.inflater)
