"""Manages the life of each connection: its welcome, the renewal of its token, and one end."""

from typing import Final

from forestay.core.cluster.registration import Registration
from forestay.core.fanout.callers import client_of
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.transport import Transport
from forestay.core.rooms.joins import Joins
from forestay.core.rules.access import Identity
from forestay.core.rules.rate_limit import Rates, TokenBucket
from forestay.core.rules.session_limits import SessionLimits
from forestay.core.sessions.keepalive import Keepalive
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDS_AT_ONCE, Ending, ErrorCode, Refusal
from forestay.protocol.replies import ClientLimits, Left, Welcome

FORBIDDEN: Final = "forbidden"
"""The reason in the `left` of a client whose new token has no right to a room."""


class Sessions:
    """Starts and ends the connections of this pod."""

    def __init__(
        self,
        runtime: Runtime,
        limits: SessionLimits,
        registration: Registration,
        joins: Joins,
        keepalive: Keepalive,
        outbox: Outbox,
    ) -> None:
        self._runtime = runtime
        self._limits = limits
        self._registration = registration
        self._joins = joins
        self._keepalive = keepalive
        self._outbox = outbox
        self._client_limits = _client_limits(limits)
        self._rates = Rates(limits.rate, limits.burst, limits.bytes_rate, limits.message_bytes)
        # One bound method for all connections: each holds it.
        self._end_connection = self._end

    async def start(
        self, identity: Identity, transport: Transport, bucket: TokenBucket | None = None, id: str | None = None
    ) -> Connection:
        """Make a connection and register it. It may come back ended: see `register`."""
        connection = self.prepare(identity, transport, bucket, id)
        await self.register(connection)
        return connection

    def prepare(
        self, identity: Identity, transport: Transport, bucket: TokenBucket | None = None, id: str | None = None
    ) -> Connection:
        """Make a connection of a verified caller. Nothing knows of it yet.

        `bucket`: that of the client's other connections, where it has some. They share one rate. `id`: where it has
        one already, because the application was asked about it.
        """
        now = self._runtime.loop.time()
        bucket = bucket or TokenBucket(self._rates, now)
        return Connection(id or self._runtime.new_id(), identity, transport, bucket, now, self._end_connection)

    async def register(self, connection: Connection) -> None:
        """Count a new connection. From now on it can be ended like each other one.

        It may have ended after this, because its user has too many or its token was just revoked. The caller then
        closes the transport, after the answer to the handshake.
        """
        ending = await self._registration.register(connection)
        if ending is not None:
            connection.ended = ending
            self._report_end(connection, ending)
            return
        self._keepalive.add(connection)

    def welcome(self, connection: Connection) -> bytes:
        """Encode the `welcome` of a connection. It need not be registered for this."""
        return connection.wire.reply(Welcome(connection.id, connection.identity.user, self._client_limits))

    def greet(self, connection: Connection, welcome: bytes | None = None) -> None:
        """Send its `welcome` to a connection that was registered. Does nothing where it has ended meanwhile.

        `welcome`: what `welcome` returned for it, where that was asked before.
        """
        if connection.ended is not None:
            return
        self._outbox.send_bytes(connection, self.welcome(connection) if welcome is None else welcome)
        if self._runtime.observer is not None:
            self._runtime.observer.connected(connection.identity.user)

    def first_words(self, connection: Connection) -> bytes:
        """The `welcome` of a new connection, to be sent with the answer to the handshake: one packet for both."""
        return self._outbox.first_words(connection)

    def renew(self, connection: Connection, identity: Identity) -> None:
        """Give `connection` the rights and the expiry of a newer token of the same user. Raises Refusal."""
        if identity.user != connection.identity.user:
            raise Refusal(ErrorCode.IDENTITY_CHANGED, "the token belongs to another user; connect again with it")
        connection.identity = identity
        self._keepalive.watch(connection)
        for name in self._joins.expel(connection):
            self._outbox.send(connection, Left(None, name, FORBIDDEN))
            if self._runtime.observer is not None:
                self._runtime.observer.removed(name, FORBIDDEN, client_of(connection))

    def lost(self, connection: Connection, ending: Ending) -> None:
        """Forget a connection whose transport is gone. `ending`: how. Called once for each connection."""
        if connection.ended is None:
            self._forget(connection, ending)
        if connection.relocating is not None:
            self._report_relocation(connection, connection.relocating, ending)

    def close(self) -> None:
        """Stop the pings, because the pod stops."""
        self._keepalive.close()

    def _end(self, connection: Connection, ending: Ending) -> None:
        """See Connection.end."""
        if connection.ended is not None:
            return
        if ending.by_client or ending.code not in ENDS_AT_ONCE:
            self._outbox.flush(connection)
        self._forget(connection, ending)
        connection.transport.close(ending)

    def _forget(self, connection: Connection, ending: Ending) -> None:
        connection.ended = ending
        self._joins.leave_all(connection)
        self._outbox.forget(connection)
        self._keepalive.forget(connection)
        self._registration.remove(connection)
        self._report_end(connection, ending)

    def _report_relocation(self, connection: Connection, reason: str, ending: Ending) -> None:
        if self._runtime.observer is None:
            return
        if (connection.ended or ending).by_client:
            outcome = "client_closed"
        else:
            outcome = "aborted" if ending.code == ABNORMAL_CLOSURE else "server_closed"
        self._runtime.observer.relocated(reason, outcome)

    def _report_end(self, connection: Connection, ending: Ending) -> None:
        lifetime = self._runtime.loop.time() - connection.connected_at
        if self._runtime.observer is not None:
            self._runtime.observer.ended(client_of(connection), ending, lifetime)
        self._registration.tell_end(connection, ending, lifetime)


def _client_limits(limits: SessionLimits) -> ClientLimits:
    return ClientLimits(
        ping_interval=limits.keepalive.ping_interval,
        pong_timeout=limits.keepalive.pong_timeout,
        reconnect_spread=limits.reconnect_spread,
        message_bytes=limits.message_bytes,
        rate=limits.rate,
        burst=int(limits.burst),
        bytes_rate=limits.bytes_rate,
        rooms=limits.rooms,
    )
