"""Asks clients to connect elsewhere, and ends those that have not gone by then.

A client that can opens its next connection first and closes this one itself; for the others it is a close with 1001.
"""

from enum import StrEnum
from functools import partial

from forestay.core.fanout.connection import Connection
from forestay.core.ports.runtime import Runtime
from forestay.core.sessions.sessions import Sessions
from forestay.protocol.codes import CloseCode, Ending


class Reason(StrEnum):
    """Why clients are asked to go."""

    DRAINING = "draining"
    """The pod ends."""
    REBALANCING = "rebalancing"
    """Others have fewer connections."""
    AGE = "age"
    """It was here for long; whoever comes back may come to a pod that was not there then."""


ENDINGS = {reason: Ending(CloseCode.GOING_AWAY, f"{reason}: connect again") for reason in Reason}


class Relocation:
    def __init__(self, runtime: Runtime, sessions: Sessions) -> None:
        self._runtime = runtime
        self._sessions = sessions
        sessions.aged = partial(self.ask, reason=Reason.AGE)

    def ask(self, connection: Connection, *, reason: Reason, after: float = 0.0, within: float | None = None) -> None:
        """Ask `connection` to go from `after` seconds on; `within` seconds it is ended. Asking twice does nothing.

        Without `within` it has the usual lead.
        """
        if connection.relocating is not None or connection.ended is not None:
            return
        closing = after + self._sessions.terms.lead if within is None else within
        connection.relocating = reason
        self._sessions.uncount(connection)
        payload = {"reason": reason, "after_ms": round(after * 1000), "within_ms": round(closing * 1000)}
        self._sessions.say(connection, "reconnect", payload)
        self._runtime.loop.call_later(closing, self._sessions.end, connection, ENDINGS[reason])

    def insist(self, connection: Connection, reason: Reason) -> None:
        """End `connection` now, whatever it was told."""
        connection.relocating = connection.relocating or reason
        self._sessions.end(connection, ENDINGS[reason])
