"""Writes what one pass has for each client, and counts it. Slow clients get nothing of rooms: see slow.py."""

from collections.abc import Callable, Sequence

from forestay.core.fanout.batch import Batch, Due
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.positions import DueTailed, move_on
from forestay.core.fanout.slow import SlowReaders
from forestay.core.ports.group_writer import Group
from forestay.core.ports.transport import Transport


class MemberWrites:
    """The writes of the passes of this pod."""

    def __init__(self, slow: SlowReaders, tell_positions: Callable[[Connection], None]) -> None:
        """`tell_positions`: see Passes.tell_positions."""
        self._slow = slow
        self._limit = slow.limit
        self._tell_positions = tell_positions
        self.tailing: dict[Connection, None] = {}
        """Connections whose next write ends with their positions."""
        self.number = self.size = 0
        """Writes since `start`, and their bytes."""

    def start(self) -> None:
        """Count from zero."""
        self.number = self.size = 0

    def room(self, batch: Batch) -> None:
        """Write a batch without tailed parts, where it is the only one of its pass."""
        for part in batch.parts:
            shared, own = part.shared, part.own
            # A list, because a client that is too slow leaves its rooms at once.
            for connection in list(part.audience.members):
                data = own.get(connection, shared) if own else shared
                if data:
                    self._write(connection, data, batch)

    def rooms(self, due: Due, batches: list[Batch]) -> None:
        """Write what is `due` to each member of `batches`."""
        for connection, data in due.items():
            self._write(connection, data, batches)

    def tailed(self, tailed: DueTailed, batches: list[Batch], group: Group | None = None) -> None:
        """The same for members that are told their positions: each write ends with them.

        With a `group`, the writes are added to it. The caller makes them.
        """
        for connection, found in tailed.items():
            transport = connection.transport
            if connection.ended is not None or transport.closed():
                continue
            if self._is_slow(connection):
                if any(buffer for buffer, _ in found):
                    self._slow.hold_back(connection, batches)
                self._pass_by(connection, found)
                continue
            chunks = move_on(connection, found)
            if connection.answers:
                connection.answers += chunks
                self.tailing[connection] = None
                continue
            if tail := self.take_tail(connection):
                chunks.append(tail)
            if chunks:
                self._write_tailed(transport, chunks, group)
        for connection in list(self.tailing):
            if tail := self.take_tail(connection):
                connection.answers.append(tail)

    def answers(self, connection: Connection) -> None:
        """Write what waits for `connection` alone."""
        chunks, connection.answers = connection.answers, []
        transport = connection.transport
        if not chunks or transport.closed():
            return
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        transport.write(data)
        self.number += 1
        self.size += len(data)
        waiting = transport.buffered()
        if waiting:
            self._slow.note_answers(connection, len(data), waiting)

    def take_tail(self, connection: Connection) -> bytes:
        """Return the positions of `connection`, to end a write with. See Passes.take_tail."""
        self.tailing.pop(connection, None)
        return b"" if connection.positions is None else connection.transport.tail(connection.positions)

    def _write(self, connection: Connection, data: bytes | list[bytes], batches: Batch | list[Batch]) -> None:
        """Write what `connection` gets of `batches`, unless it is slow."""
        transport = connection.transport
        if connection.ended is not None or transport.closed():
            return
        if self._is_slow(connection):
            self._slow.hold_back(connection, batches if isinstance(batches, list) else [batches])
            return
        if isinstance(data, list):
            data = b"".join(data)
        if connection.answers:
            # Answers go first. Both are written together with the answers of other connections.
            connection.answers.append(data)
            return
        transport.write(data)
        self.number += 1
        self.size += len(data)

    def _write_tailed(self, transport: Transport, chunks: list[bytes], group: Group | None) -> None:
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self.number += 1
        self.size += len(data)
        if group is None:
            transport.write(data)
        else:
            group.transports.append(transport)
            group.buffers.append(data)

    def _is_slow(self, connection: Connection) -> bool:
        # The first look of SlowReaders.slow, which decides for nearly every write.
        if connection.missed is None and connection.transport.buffered() <= self._limit:
            return False
        return self._slow.slow(connection)

    def _pass_by(self, connection: Connection, found: Sequence[tuple[bytes, Batch]]) -> None:
        """Move a slow client on where the only messages are its own ones, which it did not want back."""
        missed = connection.missed or ()
        passed_by = [one for one in found if not one[0] and one[1].room.name not in missed]
        if passed_by:
            move_on(connection, passed_by)
            self._tell_positions(connection)
