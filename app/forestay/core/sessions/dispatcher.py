"""Takes the requests of clients, holds each client to its rate, and hands a request to the part that carries it out.

Only what has to wait for the bus, the registry or token keys is returned to be awaited. So the requests of one client
keep their order, and most of them need no task.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial
from typing import Final, assert_never

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.turns import Turn
from forestay.core.rules.rate_limit import Rates
from forestay.core.rules.session_limits import SessionLimits
from forestay.core.sessions.broadcasts import Broadcasts
from forestay.core.sessions.calls import Calls
from forestay.core.sessions.join_lists import join_in_turn
from forestay.core.sessions.queries import Queries
from forestay.core.sessions.renewal import Renewal
from forestay.core.sessions.room_requests import RoomRequests
from forestay.protocol import requests
from forestay.protocol.codes import ENDINGS, CloseCode, Refusal
from forestay.protocol.replies import Pong

# What an `auth` counts as, in cheap messages: its token has a signature to verify.
_AUTH: Final = 20.0
# Entries of a page of history or presence that count as one more message, and bytes of a text that cannot be read.
_PAGE_ENTRIES: Final = 50
_UNREADABLE_BYTES: Final = 2048
# Pongs that a client may have saved and not sent: so many pings a slow network may hold, and deliver at once.
_FREE_PONGS: Final = 16


@dataclass(frozen=True, slots=True)
class Handlers:
    """The parts that carry out requests."""

    broadcasts: Broadcasts
    rooms: RoomRequests
    queries: Queries
    renewal: Renewal
    calls: Calls


class Dispatcher:
    """Takes every request of every client, on any wire."""

    def __init__(self, runtime: Runtime, limits: SessionLimits, handlers: Handlers, outbox: Outbox) -> None:
        self._loop = runtime.loop
        self._perf = runtime.perf
        self._traffic = runtime.traffic
        self._watching = runtime.watching
        self._rates = Rates(limits.rate, limits.burst, limits.bytes_rate, limits.message_bytes)
        self._limited = self._rates.limited
        self._handlers = handlers
        self._broadcast = handlers.broadcasts.broadcast
        self._outbox = outbox

    def dispatch(self, connection: Connection, request: requests.Request, size: int) -> Awaitable[None] | None:
        """Carry out `request`, which came in a message of `size` bytes.

        The caller awaits what is returned before it hands in the next request of this client.
        """
        if self._watching.active:
            self._watching.came(connection, request, size)
        # First the request that is by far the most frequent.
        if isinstance(request, requests.Broadcast):
            work = self._publish(connection, request, size)
        else:
            work = self._take(connection, request, size)
        return None if work is None else self._held(connection, work)

    async def _held(self, connection: Connection, work: Awaitable[None]) -> None:
        """Note that nothing of the client is read until `work` is done: its pongs neither."""
        connection.held = True
        try:
            await work
        finally:
            connection.held = False

    def _take(
        self, connection: Connection, request: requests.OtherRequest | requests.JoinMany, size: int
    ) -> Awaitable[None] | None:
        self._traffic.receive(str(request.__struct_config__.tag), size)
        if isinstance(request, requests.JoinMany):
            return self._join_many(connection, request, size)
        room = request.room if isinstance(request, requests.RoomRequest) else None
        if not self._allow(connection, request.id, room, size, cost_of(request)):
            return None
        try:
            return self._carry_out(connection, request)
        except Refusal as refusal:
            binary = self._handlers.broadcasts.refused(request) if isinstance(request, requests.Binary) else None
            self._outbox.refuse(connection, refusal, request.id, room, binary)
            return None

    def _publish(self, connection: Connection, request: requests.Broadcast, size: int) -> Awaitable[None] | None:
        self._traffic.receive("broadcast", size)
        if wait := self._spend(connection, size, 1.0):
            self._refuse_excess(connection, wait, request.id, request.room)
            return None
        try:
            return self._broadcast(connection, request)
        except Refusal as refusal:
            message = self._handlers.broadcasts.refused(request)
            self._outbox.refuse(connection, refusal, request.id, request.room, message)
            return None

    def reject(self, connection: Connection, unreadable: requests.Unreadable, size: int) -> None:
        """Refuse a message of `size` bytes that is no request."""
        self._traffic.receive("unreadable", size)
        if self._watching.active:
            self._watching.came_otherwise(connection, "unreadable", size)
        cost = 1.0 + size // _UNREADABLE_BYTES
        if self._allow(connection, unreadable.id, unreadable.room, size, cost):
            self._outbox.refuse(connection, unreadable.refusal, unreadable.id, unreadable.room)

    def ping(self, connection: Connection, data: bytes) -> None:
        """The client sent a ping of its wire. It counts as a message, because it costs as much."""
        if self._allow(connection, None, None, len(data)):
            self._outbox.send_bytes(connection, connection.wire.pong(data))

    def pong(self, connection: Connection) -> None:
        """The client answered a ping of its wire, or sent a pong unasked.

        One pong for each ping is free: a client that was told to wait must answer. Each other one is a message.
        """
        if self._watching.active:
            self._watching.came_otherwise(connection, "pong", 0)
        if connection.pongs < connection.pings:
            # A client may answer several pings with one pong (RFC 6455 §5.5.3). It saves few of the others for later.
            connection.pongs = max(connection.pongs + 1, connection.pings - _FREE_PONGS)
            connection.heard_at = self._loop.time()
        else:
            self._allow(connection, None, None, 0)

    def _allow(self, connection: Connection, id: str | None, room: str | None, size: int, cost: float = 1.0) -> bool:
        """Note that the client is alive, and spend a message of `size` bytes. Refuse what exceeds its rates.

        `cost`: how many cheap messages it counts as.
        """
        wait = self._spend(connection, size, cost)
        if wait:
            self._refuse_excess(connection, wait, id, room)
        return not wait

    def _spend(self, connection: Connection, size: int, cost: float) -> float:
        """The same without the refusal. Returns 0 where the message is allowed, else the seconds until it will be."""
        now = self._loop.time()
        connection.heard_at = now
        connection.came_at = self._perf()
        return connection.bucket.wait(self._rates, now, size, cost) if self._limited else 0.0

    def _refuse_excess(self, connection: Connection, wait: float, id: str | None, room: str | None) -> None:
        self._outbox.refuse(connection, self._rates.refusal(wait), id, room)
        self._end_if_exhausted(connection)

    def _join_many(self, connection: Connection, request: requests.JoinMany, size: int) -> Awaitable[None] | None:
        """Carry out the joins as if each had come in a message of its own, and answer them in their order."""
        connection.heard_at = self._loop.time()
        share = size // len(request.joins)
        work = join_in_turn(connection, request.joins, partial(self._join_one, connection, share))
        if work is None:
            self._end_if_exhausted(connection)
            return None
        return self._end_after(connection, work)

    async def _end_after(self, connection: Connection, work: Awaitable[None]) -> None:
        await work
        self._end_if_exhausted(connection)

    def _join_one(
        self, connection: Connection, share: int, join: requests.Join | requests.Unreadable, turn: Turn
    ) -> Awaitable[None] | None:
        """Carry out one join of a list, whose part of the message has `share` bytes."""
        wait = connection.bucket.wait(self._rates, self._loop.time(), share) if self._limited else 0.0
        try:
            if wait:
                raise self._rates.refusal(wait)
            if isinstance(join, requests.Unreadable):
                raise join.refusal
            return self._handlers.rooms.join(connection, join, turn)
        except Refusal as refusal:
            turn.answer(partial(self._outbox.refuse, connection, refusal, join.id, join.room))
            return None

    def _end_if_exhausted(self, connection: Connection) -> None:
        if connection.bucket.exhausted:
            connection.end(ENDINGS[CloseCode.RATE_LIMITED])

    def _carry_out(self, connection: Connection, request: requests.OtherRequest) -> Awaitable[None] | None:
        handlers = self._handlers
        match request:
            case requests.Binary():
                return handlers.broadcasts.binary(connection, request)
            case requests.Join():
                return handlers.rooms.join(connection, request)
            case requests.Leave():
                handlers.rooms.leave(connection, request)
            case requests.Ping():
                self._outbox.send(connection, Pong(request.id))
            case requests.Pong():
                pass
            case requests.Bind():
                handlers.broadcasts.bind(connection, request)
            case requests.Call():
                handlers.calls.call(connection, request)
            case requests.Presence() | requests.History() | requests.Auth():
                return self._ask(connection, request)
            case _:
                assert_never(request)
        return None

    def _ask(
        self, connection: Connection, request: requests.Presence | requests.History | requests.Auth
    ) -> Awaitable[None]:
        """Carry out a request that has to wait."""
        match request:
            case requests.Presence():
                return self._handlers.queries.presence(connection, request)
            case requests.History():
                return self._handlers.queries.history(connection, request)
            case requests.Auth():
                return self._handlers.renewal.renew(connection, request)
            case _:
                assert_never(request)


def cost_of(request: requests.OtherRequest) -> float:
    """How many cheap messages `request` counts as, by what it costs the pod. `python -m bench cost` measures it."""
    match request:
        case requests.Auth():
            return _AUTH
        case requests.History() | requests.Presence():
            return 1.0 + request.limit // _PAGE_ENTRIES
        case _:
            return 1.0
