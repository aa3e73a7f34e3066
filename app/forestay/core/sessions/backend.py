"""What a backend may do: speak to a room or a user, see who is where on all pods, end connections and revoke tokens.

A backend is trusted with every room; whether a caller is one was decided before it got here.
"""

from typing import Final

from forestay.core.cluster.control import Connected, ControlChannel
from forestay.core.ports.bus import BusLost, Page, Query, Unavailable
from forestay.core.ports.observer import Source
from forestay.core.ports.registry import PresencePage, Registry, Revocation
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.presence import Presence
from forestay.core.rooms.publishing import Publisher
from forestay.core.rules.policies import Policies
from forestay.core.sessions.addresses import named_room
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName, personal_room
from forestay.protocol.trace import TraceContext

KEPT: Final = 86_400.0
"""Seconds for which a revocation is kept where it does not say for how long."""


class Backend:
    def __init__(
        self,
        runtime: Runtime,
        registry: Registry,
        policies: Policies,
        publisher: Publisher,
        presence: Presence,
        control: ControlChannel,
    ) -> None:
        self._runtime = runtime
        self._registry = registry
        self._policies = policies
        self._publisher = publisher
        self._presence = presence
        self._control = control

    def room(self, text: str) -> RoomName:
        """The room called `text`. Raises Refusal with INVALID_ROOM."""
        return named_room(text)

    def personal(self, user: str) -> RoomName:
        """The personal room of `user`, whose name need not fit the grammar of rooms."""
        return personal_room(user)

    async def publish(
        self,
        room: RoomName,
        payload: bytes,
        *,
        key: str | None = None,
        binary: bool = False,
        trace: TraceContext | None = None,
    ) -> Position | None:
        """Send JSON, or a whole binary frame, to everybody in `room`; where it stands once the bus has it.

        Raises Refusal.
        """
        message = Message(room, payload, self._publisher.stamp(), binary=binary, trace=trace)
        return await self._publisher.accepted(message, Source(self._runtime.loop.time()), key)

    async def history(self, room: RoomName, query: Query) -> Page:
        """The past of `room`. Raises Refusal."""
        kept = self._policies.of(room).history
        if kept is None:
            raise Refusal(ErrorCode.FORBIDDEN, "this room has no history")
        return await self._publisher.history(room, query, kept)

    async def present(self, room: RoomName, after: str | None, limit: int) -> PresencePage:
        """One page of who is in `room`. Raises Refusal."""
        if not self._policies.of(room).presence:
            raise Refusal(ErrorCode.FORBIDDEN, "this room has no presence")
        return await self._presence.presence_page(room, after, limit)

    async def rooms(self, after: str, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Rooms that somebody is in, behind `after`, with their members; and whether all pods answered."""
        return await self._control.rooms(after, limit)

    async def connections(self, user: str) -> tuple[list[Connected], bool]:
        """The connections of `user` on all pods; and whether all pods answered."""
        return await self._control.connections(user)

    async def disconnect(self, user: str) -> tuple[int, bool]:
        """End the connections of `user` with 4403; how many there were, and whether all pods answered."""
        ended, complete = await self._control.connections(user, end=True)
        return len(ended), complete

    async def revoke(self, jti: str | None, user: str | None, before: float | None, until: float | None) -> None:
        """Let a token, or the tokens that a user was given before some time, be good no more. Raises Refusal."""
        now = self._runtime.clock()
        revocation = Revocation(
            jti=jti,
            user=user,
            before=now if before is None else before,
            until=now + KEPT if until is None else until,
        )
        try:
            await self._registry.revoke(revocation)
        except BusLost:
            raise Unavailable from None
        self._control.revoked(revocation)
