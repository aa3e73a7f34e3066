"""Carries out the request to replace the token of a connection."""

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.verifier import Verifier
from forestay.core.sessions.sessions import Sessions
from forestay.protocol import requests
from forestay.protocol.codes import Refusal
from forestay.protocol.replies import Ack


class Renewal:
    """Verifies the new token, and replies when it holds."""

    def __init__(self, verifier: Verifier, sessions: Sessions, outbox: Outbox) -> None:
        self._verifier = verifier
        self._sessions = sessions
        self._outbox = outbox

    async def renew(self, connection: Connection, request: requests.Auth) -> None:
        """Replace the token. A refusal is a reply, and the old token stays."""
        try:
            identity = await self._verifier.verify(request.payload.token)
            if connection.ended is None:
                self._sessions.renew(connection, identity)
                self._outbox.send(connection, Ack(request.id))
        except Refusal as refusal:
            self._outbox.refuse(connection, refusal, request.id, None)
