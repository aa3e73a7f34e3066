"""Asks clients to connect elsewhere, and closes their connections if they do not go in time.

A client that understands `reconnect` opens its next connection first and then closes this one. It is closed with 1001
where it does not. A client of a wire without `reconnect` is closed with 1001 when it is its turn.
"""

from enum import StrEnum

from forestay.core.cluster.registration import Registration
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.runtime import Runtime
from forestay.protocol.codes import CloseCode, Ending
from forestay.protocol.replies import Reconnect


class Reason(StrEnum):
    """Why a client is asked to connect elsewhere."""

    DRAINING = "draining"
    """The pod stops."""
    REBALANCING = "rebalancing"
    """Other pods have fewer connections."""
    AGE = "age"
    """The connection is old. Its next one may lead to a pod that was not there before."""


ENDINGS = {reason: Ending(CloseCode.GOING_AWAY, f"{reason}: connect again") for reason in Reason}


class Relocation:
    """Moves connections to other pods."""

    def __init__(self, runtime: Runtime, registration: Registration, outbox: Outbox, lead: float) -> None:
        """`lead`: seconds that a client has to move, where `ask` does not say otherwise."""
        self._runtime = runtime
        self._registration = registration
        self._outbox = outbox
        self._lead = lead

    def ask(self, connection: Connection, *, reason: Reason, after: float = 0.0, within: float | None = None) -> None:
        """Ask the client to move `after` seconds from now, and close `within` seconds from now. Asks only once.

        Without `within` the close is a lead after the client's turn. A client that is only closed cannot use the time
        in between, so its close is its turn.
        """
        if connection.relocating is not None or connection.ended is not None:
            return
        closing = after + self._lead if within is None else within
        connection.relocating = reason
        self._registration.uncount(connection)
        if connection.wire.relocates:
            self._outbox.send(connection, Reconnect(reason, after, closing))
        else:
            closing = min(after, closing)
        self._runtime.loop.call_later(closing, connection.end, ENDINGS[reason])

    def force(self, connection: Connection, reason: Reason) -> None:
        """Close `connection` now, also before the time that its client got."""
        connection.relocating = connection.relocating or reason
        connection.end(ENDINGS[reason])
