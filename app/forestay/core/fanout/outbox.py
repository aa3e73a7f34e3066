"""Writes to one client: replies, refusals, missed messages, and at the end all that is still pending for it."""

from asyncio import sleep
from collections.abc import Iterable
from typing import Final

from forestay.core.fanout.callers import client_of
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.large_turn import LargeTurn
from forestay.core.fanout.passes import Passes
from forestay.core.fanout.positions import enter, forget, leave, move
from forestay.core.fanout.rooms import Room, Rooms
from forestay.core.fanout.slow import SlowReaders
from forestay.core.ports.observer import RefusedMessage
from forestay.core.ports.runtime import Runtime
from forestay.protocol.codes import Refusal
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.replies import Error, Reply, Resync

STALLED: Final = 30.0
"""Seconds without a byte taken after which a client is slow that is sent what it missed. The kernel takes in large
steps, so a slow but steady client can seem to take nothing for a while."""

# Seconds between two looks at whether a client has taken what was sent.
_FIRST_LOOK: Final = 0.005
_LAST_LOOK: Final = 0.25


class Outbox:
    """Encodes for one client in its own wire. The next pass writes it."""

    def __init__(self, runtime: Runtime, rooms: Rooms, passes: Passes, slow: SlowReaders) -> None:
        self._loop = runtime.loop
        self._observer = runtime.observer
        self._watching = runtime.watching
        self._rooms = rooms
        self._passes = passes
        self._slow = slow
        self.large = LargeTurn()

    async def send_large(self, connection: Connection, reply: Reply) -> None:
        """Send a reply that takes long to encode, when it is its turn."""
        async with self.large:
            if connection.ended is None:
                self.send(connection, reply)

    def send(self, connection: Connection, reply: Reply) -> None:
        """Send `reply`, before the room messages of the next pass."""
        self._passes.reply(connection, reply)

    def send_bytes(self, connection: Connection, data: bytes) -> None:
        """Send finished bytes. They keep their order among the replies."""
        self._passes.answer(connection, data)

    def refuse(
        self,
        connection: Connection,
        refusal: Refusal,
        id: str | None,
        room: str | None,
        message: RefusedMessage | None = None,
    ) -> None:
        """Refuse the request with this `id` and `room`. `message`: where the request was to publish one."""
        if self._observer is not None:
            self._observer.refused(refusal.code, connection.source, message, room, client_of(connection))
        self.send(connection, Error(id, room, refusal))

    def resync(self, connection: Connection, name: RoomName, reason: str, position: Position | None = None) -> None:
        """Tell a client that it lost messages of the room `name`, why, and where live messages go on."""
        if self._observer is not None:
            self._observer.resynced(name, reason, 1, client_of(connection))
        self.send(connection, Resync(name, reason, position))
        self.reached(connection, name, position)

    def replay(self, connection: Connection, room: Room, messages: Iterable[Message]) -> None:
        """Send messages that the client missed, before live messages."""
        wire, traced = connection.wire.plain, room.policy.trace
        for message in messages:
            if self._watching.active:
                self._watching.replayed(connection, message)
            self._passes.answer(connection, wire.message(message, traced=traced))
        self._passes.tell_positions(connection)

    def entered(self, connection: Connection, name: RoomName, position: Position | None) -> None:
        """`connection` has come into the room `name`, and gets what follows on `position`."""
        enter(connection, name, position)
        self._passes.tell_positions(connection)

    def reached(self, connection: Connection, name: RoomName, position: Position | None) -> None:
        """`connection` was sent all of the room `name` up to `position`, or was told that it lost something of it."""
        move(connection, name, position)
        self._passes.tell_positions(connection)

    async def taken(self, connection: Connection, patience: float = STALLED) -> bool:
        """Wait until little of what was sent waits for the client. False where it takes nothing for `patience` seconds.

        Nothing tells when a client takes something, so this looks again and again, less and less often.
        """
        transport, enough = connection.transport, self._slow.limit // 4
        waiting, moved, pause = transport.buffered(), self._loop.time(), _FIRST_LOOK
        while waiting > enough and not transport.closed():
            await sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)
            before, waiting = waiting, transport.buffered()
            if waiting < before:
                moved = self._loop.time()
            elif self._loop.time() - moved > patience:
                return False
        return True

    def settle(self, connection: Connection, room: Room) -> None:
        """Send what `connection` is still owed of `room`, which it leaves. The reply `left` comes after that."""
        missed = self._slow.forget_room(connection, room.name)
        owed = room.owed(connection)
        if not self._slow.slow(connection):
            if owed:
                self._passes.answer(connection, owed)
        elif owed or missed:
            self._passes.resync_slow(connection, room.name, None)
        leave(connection, room.name)
        self._passes.tell_positions(connection)

    def first_words(self, connection: Connection) -> bytes:
        """Return what waits for a connection that was just welcomed. No pass writes it after this."""
        chunks = self._passes.take_answers(connection)
        if connection.positions is not None:
            chunks.append(self._passes.take_tail(connection))
        return b"".join(chunks)

    def discard(self, connection: Connection) -> None:
        """Drop what waits for a connection that is in no room, as if nothing had been sent to it yet."""
        self._passes.forget(connection)
        self._passes.take_answers(connection)
        forget(connection)

    def flush(self, connection: Connection) -> None:
        """Write now what `connection` is owed, because a close follows."""
        chunks = self._passes.take_answers(connection)
        if not self._slow.slow(connection):
            rooms = self._rooms.of(connection)
            chunks += [owed for room in rooms if (owed := room.owed(connection))]
            for room in rooms:
                if room.is_live(connection):
                    move(connection, room.name, room.position)
        if chunks and not connection.transport.closed():
            connection.transport.write(b"".join([*chunks, self._passes.take_tail(connection)]))

    def forget(self, connection: Connection) -> None:
        """Forget a connection that is gone. Nothing more is written to it."""
        self._passes.forget(connection)
