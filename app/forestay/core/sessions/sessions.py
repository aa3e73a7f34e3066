"""Comings and goings: a connection is welcomed, renews its token, and ends exactly once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from forestay.core.cluster.revocations import Revocations
from forestay.core.cluster.user_limit import UserLimit
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.transport import Transport
from forestay.core.rooms.membership import Membership
from forestay.core.rules.access import Identity, Right
from forestay.core.rules.rate_limit import TokenBucket
from forestay.core.sessions.keepalive import Keepalive, Patience
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDINGS, ENDS_AT_ONCE, CloseCode, Ending, ErrorCode, Refusal
from forestay.protocol.names import PROTOCOL


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What every client is told in `welcome` and held to."""

    message_bytes: int
    rate: float
    """Messages per second and connection; 0 is no limit."""
    burst: float
    rooms: int
    patience: Patience
    reconnect_spread: float
    """Seconds over which clients spread their return when many lose their connection at once."""
    longest_stay: float
    """Seconds, give or take a tenth, after which a connection is ended, and should have moved; 0 is never."""
    lead: float
    """Seconds that a client has to move from when it is its turn."""

    def payload(self, connection: Connection) -> dict[str, object]:
        return {
            "connection": connection.id,
            "user": connection.identity.user,
            "protocol": PROTOCOL,
            "ping_interval_ms": round(self.patience.ping_interval * 1000),
            "pong_timeout_ms": round(self.patience.pong_timeout * 1000),
            "reconnect_spread_ms": round(self.reconnect_spread * 1000),
            # Whole numbers are written as such: some readers take 200.0 for another type than 200.
            "limits": {"message_bytes": self.message_bytes, "rate": _plain(self.rate), "rooms": self.rooms},
        }


class Sessions:
    """Owns the lives of all connections of this pod."""

    def __init__(
        self,
        runtime: Runtime,
        terms: SessionLimits,
        hub: Hub,
        membership: Membership,
        user_limit: UserLimit,
        revocations: Revocations,
    ) -> None:
        self.terms = terms
        self.yielding: Callable[[Sequence[str]], None] = _nobody_to_tell
        """Ends connections of other pods that have to go for one of ours; set by whoever speaks to other pods."""
        self.aged: Callable[[Connection], None] = _nobody_to_ask
        """Asks a connection that was here for long to connect anew; set by whoever relocates."""
        self._user_limit = user_limit
        self._revocations = revocations
        self.hub = hub
        self._runtime = runtime
        self._membership = membership
        self._delivery = membership.delivery
        self._keepalive = Keepalive(runtime, terms.patience, self.end, self._stayed_long)
        self._delivery.end = revocations.end = self.end

    async def welcome(self, identity: Identity, socket: Transport) -> Connection:
        """A verified caller is here. The connection may come back ended: too many of its user, or just revoked.

        Then its socket is still to be closed, behind the answer to the handshake.
        """
        now = self._runtime.loop.time()
        connection = Connection(self._runtime.new_id(), identity, socket, TokenBucket(self.terms.burst, now), now)
        if self._user_limit.per_user:
            await self._claim(connection)
        if connection.ended is None and self._revocations.cover(identity):
            self._turn_away(connection, CloseCode.REVOKED)
        if connection.ended is not None:
            return connection
        if self.terms.longest_stay:
            connection.leave_at = now + self.terms.longest_stay * self._runtime.uniform(0.9, 1.1) - self.terms.lead
        self.hub.add(connection)
        self._keepalive.watch(connection)
        self._delivery.say(connection, "welcome", payload=self.terms.payload(connection))
        if self._runtime.observer is not None:
            self._runtime.observer.connected(identity.user)
        return connection

    async def _claim(self, connection: Connection) -> None:
        claim = await self._user_limit.claim(connection)
        if not claim.granted:
            self._turn_away(connection, CloseCode.CONNECTION_LIMIT)
        elsewhere = []
        for id in claim.yielding:
            mine = self.hub.by_id(id)
            if mine is None:
                elsewhere.append(id)
            else:
                self.end(mine, ENDINGS[CloseCode.CONNECTION_LIMIT])
        if elsewhere:
            self.yielding(elsewhere)

    def _turn_away(self, connection: Connection, code: CloseCode) -> None:
        connection.ended = ENDINGS[code]
        self._user_limit.release(connection)
        self._report_end(connection, code, by_client=False)

    def first_words(self, connection: Connection) -> bytes:
        """What a connection that was just welcomed is to hear, taken away from what the next pass writes."""
        chunks, connection.answers = connection.answers, []
        return b"".join(chunks)

    def renew(self, connection: Connection, identity: Identity) -> None:
        """Give `connection` the rights and the time of a newer token of the same user. Raises Refusal."""
        if identity.user != connection.identity.user:
            raise Refusal(ErrorCode.IDENTITY_CHANGED, "the token belongs to somebody else; connect anew with it")
        connection.identity = identity
        self._keepalive.watch(connection)
        for name in list(connection.rooms):
            if Right.JOIN not in identity.rights.of(name):
                self._membership.leave(connection, name)
                self._delivery.say(connection, "left", room=name, payload={"reason": "forbidden"})

    def end(self, connection: Connection, ending: Ending) -> None:
        """End `connection` from our side: what is pending, then a close frame. Ending twice does nothing."""
        if connection.ended is not None:
            return
        if ending.code not in ENDS_AT_ONCE:
            self._delivery.flush(connection)
        self._forget(connection, ending, by_client=False)
        connection.socket.close(ending)

    def lost(self, connection: Connection, ending: Ending) -> None:
        """The client closed `connection`, or it broke; nothing can be written any more."""
        if connection.relocating is not None:
            self._report_relocation(connection, connection.relocating, ending)
            connection.relocating = None
        if connection.ended is None:
            self._forget(connection, ending, by_client=True)

    def uncount(self, connection: Connection) -> None:
        """`connection` is on its way out: its user may have another one in its place."""
        self._user_limit.release(connection)
        self.hub.moves(connection)

    def say(self, connection: Connection, kind: str, payload: Mapping[str, object]) -> None:
        self._delivery.say(connection, kind, payload=payload)

    def _stayed_long(self, connection: Connection) -> None:
        self.aged(connection)

    def close(self) -> None:
        self._keepalive.close()

    def _forget(self, connection: Connection, ending: Ending, *, by_client: bool) -> None:
        connection.ended = ending
        self._membership.leave_all(connection)
        self._delivery.forget(connection)
        self._keepalive.forget(connection)
        self.hub.remove(connection)
        self._user_limit.release(connection)
        self._report_end(connection, ending.code, by_client=by_client)

    def _report_relocation(self, connection: Connection, reason: str, ending: Ending) -> None:
        if self._runtime.observer is None:
            return
        if connection.ended is None:
            outcome = "client_closed"
        else:
            outcome = "aborted" if ending.code == ABNORMAL_CLOSURE else "server_closed"
        self._runtime.observer.relocated(reason, outcome)

    def _report_end(self, connection: Connection, code: int, *, by_client: bool) -> None:
        if self._runtime.observer is not None:
            lived = self._runtime.loop.time() - connection.connected_at
            self._runtime.observer.ended(code, lived, by_client=by_client)


def _nobody_to_tell(connections: Sequence[str]) -> None:
    raise RuntimeError("sessions was not told how to reach other pods")


def _nobody_to_ask(connection: Connection) -> None:
    raise RuntimeError("sessions was not told who relocates")


def _plain(number: float) -> float:
    return int(number) if number == int(number) else number
