"""Follows what a client was written of each room with history, where its wire tells it: see `Transport.tail`.

A connection has positions from its first room with history on. They are exact for each client: one that joined late, is
slow or is still sent what it missed has another position than its room.
"""

from collections.abc import Iterable, Sequence

from forestay.core.fanout.batch import Batch, Part
from forestay.core.fanout.connection import Connection
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position

DueTailed = dict[Connection, list[tuple[bytes, Batch]]]
"""The buffers for each member, each with the batch that it is of."""


def enter(connection: Connection, name: RoomName, position: Position | None) -> None:
    """`connection` has come into the room `name`, and gets what follows on `position`."""
    if position is not None and connection.wire.tailed:
        if connection.positions is None:
            connection.positions = {}
        connection.positions[name] = position


def move(connection: Connection, name: RoomName, position: Position | None) -> None:
    """`connection` was written the messages of the room `name` up to `position`, or was told that they are lost."""
    if connection.positions is not None and position is not None and name in connection.positions:
        connection.positions[name] = position


def move_on(connection: Connection, found: Sequence[tuple[bytes, Batch]]) -> list[bytes]:
    """Return what a pass has found for `connection`, which is written to it."""
    positions = connection.positions
    chunks = []
    for buffer, batch in found:
        if positions is not None and batch.position is not None:
            positions[batch.room.name] = batch.position
        if buffer:
            chunks.append(buffer)
    return chunks


def leave(connection: Connection, name: RoomName) -> None:
    """`connection` has left the room `name`."""
    if connection.positions is not None:
        connection.positions.pop(name, None)


def forget(connection: Connection) -> None:
    """`connection` is in no room, and is told nothing until it is in one with history again."""
    connection.positions = None


def gather_tailed(parts: Iterable[tuple[Batch, Part]]) -> DueTailed:
    """The buffers for each member that is told its positions.

    A buffer is empty where all that came was left out for the member: its position in the room moves all the same.
    """
    due: DueTailed = {}
    for batch, part in parts:
        shared, own = part.shared, part.own
        if not shared and not own:
            continue
        usual = (shared, batch)
        for member in part.audience.members:
            mine = usual
            if member in own:
                mine = (own[member], batch)
                if not mine[0] and not _moves(member, batch):
                    continue
            found = due.get(member)
            if found is None:
                due[member] = [mine]
            else:
                found.append(mine)
    return due


def _moves(member: Connection, batch: Batch) -> bool:
    """Whether `batch` moves the position of `member` in the room."""
    if member.positions is None or not batch.room.is_live(member):
        return False
    return batch.position != member.positions.get(batch.room.name)
