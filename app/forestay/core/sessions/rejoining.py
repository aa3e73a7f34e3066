"""Puts connections into rooms on the initiative of the gateway: nothing is replied, and rights decide as for a join."""

from asyncio import Future, as_completed, gather
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final, TypeAlias

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.join_requests import JoinRequest, JoinResult
from forestay.core.rooms.joins import Joins
from forestay.core.rules.access import Right
from forestay.core.rules.session_limits import SessionLimits
from forestay.core.sessions.addresses import any_room
from forestay.core.sessions.join_hook import JoinHook
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import RoomName, shown
from forestay.protocol.position import Position

PART: Final = 16 * 1024
"""Bytes of what was missed in a room that are sent before it is known whether all rooms are whole.

The transport holds them back until then, so the joins cannot wait until the client takes them, and must be small.
"""

_Result: TypeAlias = JoinResult | Refusal | None
"""The result of a join; None where the connection ended first."""


class Rejoining:
    """Joins rooms for clients that do not ask for each of them."""

    def __init__(self, runtime: Runtime, limits: SessionLimits, joins: Joins, outbox: Outbox, hook: JoinHook) -> None:
        self._hook = hook
        self._loop = runtime.loop
        self._limits = limits
        self._joins = joins
        self._outbox = outbox

    async def rejoin(self, connection: Connection, since: Mapping[RoomName, Position]) -> bool:
        """Put a new connection into the rooms in which its client was, and send what it missed after `since`.

        Returns whether it lost nothing in any of them. The first of the missed messages are then sent; where there are
        many, the others follow as the client takes them. Else the connection is in no room, and what the core still
        holds for it is dropped: its transport must not let out what it was given meanwhile.
        """
        try:
            for name in since:
                self._check(connection, name)
            self._limits.check_rooms(len(since))
            for name in since:
                await self._hook.require(connection, name)
        except Refusal:
            return False
        if not await self._recover(connection, since):
            self._joins.leave_all(connection)
            self._outbox.discard(connection)
            return False
        return connection.ended is None

    async def enter(self, connection: Connection, rooms: Iterable[RoomName]) -> Mapping[RoomName, Refusal]:
        """Put `connection` into `rooms`. Returns those that it may not or cannot enter, and why."""
        refusals: dict[RoomName, Refusal] = {}
        joins: dict[RoomName, Future[_Result]] = {}
        for name in rooms:
            try:
                self._check(connection, name)
                await self._hook.require(connection, name)
                self._limits.check_rooms(len({*connection.rooms, *self._joins.pending(connection), name}))
                joins[name] = self._join(connection, name, None)
            except Refusal as refusal:
                refusals[name] = refusal
        results = zip(joins, await gather(*joins.values()), strict=True)
        return refusals | {name: result for name, result in results if isinstance(result, Refusal)}

    async def _recover(self, connection: Connection, since: Mapping[RoomName, Position]) -> bool:
        for joined in as_completed([self._join(connection, name, position) for name, position in since.items()]):
            result = await joined
            if not isinstance(result, JoinResult) or not result.recovered:
                return False
        return True

    def _check(self, connection: Connection, name: RoomName) -> None:
        """Raises Refusal where the client could not join the room `name`."""
        if any_room(connection.identity, shown(name)) != name:
            raise Refusal(ErrorCode.FORBIDDEN, "a personal room is only for its user")
        connection.identity.require(Right.JOIN, name)

    def _join(self, connection: Connection, name: RoomName, since: Position | None) -> Future[_Result]:
        future: Future[_Result] = self._loop.create_future()

        def settle(result: _Result) -> None:
            if not future.done():
                future.set_result(result)

        if connection.ended is None:
            given_up = partial(settle, None)
            self._joins.join(JoinRequest(connection, name, since, settle, settle, part_bytes=PART, given_up=given_up))
        else:
            settle(None)
        return future
