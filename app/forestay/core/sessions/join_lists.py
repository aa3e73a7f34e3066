"""Carries out a list of joins, and keeps the answers in the order of the list."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar

from forestay.core.fanout.connection import Connection
from forestay.core.rooms.turns import Turn, Turns

J = TypeVar("J")


def join_in_turn(
    connection: Connection, joins: Sequence[J], join: Callable[[J, Turn], Awaitable[None] | None]
) -> Coroutine[object, object, None] | None:
    """Call `join` with each of `joins` and its turn, until the connection ends. Returns what must be awaited, or None.

    `join` returns the same. Where it has to wait, the application is asked about one room after another.
    """
    turns = Turns()
    for place, one in enumerate(joins):
        if connection.ended is not None:
            return None
        work = join(one, Turn(turns, place))
        if work is not None:
            others = [(each, Turn(turns, place + 1 + more)) for more, each in enumerate(joins[place + 1 :])]
            return _wait(connection, work, others, join)
    return None


async def _wait(
    connection: Connection,
    work: Awaitable[None],
    others: Sequence[tuple[J, Turn]],
    join: Callable[[J, Turn], Awaitable[None] | None],
) -> None:
    await work
    for one, turn in others:
        if connection.ended is not None:
            return
        following = join(one, turn)
        if following is not None:
            await following
