"""Asks the application whether a verified caller may connect, and puts it into the rooms that the application says."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from forestay.core.fanout.callers import caller
from forestay.core.fanout.connection import Connection
from forestay.core.hooks.hooks import Hooks
from forestay.core.ports.hook_events import ConnectEvent
from forestay.core.rooms.placement import Placement
from forestay.core.rules.access import Identity
from forestay.edge.handshake.refused import Refused
from forestay.edge.request_trace import request_trace
from forestay.protocol.codes import ErrorCode
from forestay.protocol.names import RoomName
from forestay.protocol.trace import TraceContext


class Origin(NamedTuple):
    """Where a request to connect comes from."""

    wire: str
    page: str | None
    """What its header `Origin` says; None without one."""
    address: str | None
    """Of the client, where it is known."""
    trace: TraceContext | None = None


class Entry(NamedTuple):
    """What is known of a connection before it is made."""

    connection: str | None
    """Its id, where the application knows it already."""
    rooms: Sequence[RoomName]
    """Rooms that the client is put into."""


UNASKED: Final = Entry(None, ())
"""Where the application is not asked."""


class ConnectHook:
    """The hook `connect`."""

    def __init__(self, hooks: Hooks, placement: Placement, new_id: Callable[[], str]) -> None:
        self._hooks = hooks
        self._placement = placement
        self._new_id = new_id

    async def ask(self, identity: Identity, origin: Origin, *, only: bool = False) -> Entry:
        """Ask whether a caller may connect. Raises Refused: 403, or 503 where the application cannot decide.

        `only`: it does not connect, so there is no connection.
        """
        connection = None if only else self._new_id()
        client = caller(identity, connection, origin.wire)
        decision = await self._hooks.decision(
            ConnectEvent(client, origin.trace, origin=origin.page, address=origin.address)
        )
        if decision.refusal is not None:
            status = 503 if decision.refusal.code is ErrorCode.UNAVAILABLE else 403
            raise Refused(status, decision.refusal, identity.user)
        return Entry(connection, decision.rooms)

    def enter(self, connection: Connection, entry: Entry) -> None:
        """Put a connection that has begun into the rooms that the application said, unless it has ended already."""
        if connection.ended is None:
            self._placement.enter(connection, entry.rooms)


def origin_of(request: web.BaseRequest, wire: str, address: str | None) -> Origin:
    """Where `request` comes from."""
    return Origin(wire, request.headers.get(hdrs.ORIGIN), address, request_trace(request))
