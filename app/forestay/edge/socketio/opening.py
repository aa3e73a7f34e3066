"""Makes the Socket.IO client of each new session, from the request that opened it."""

from dataclasses import dataclass
from typing import Final

from forestay.edge.engineio.application import Opening, Session
from forestay.edge.handshake.connect_request import carried
from forestay.edge.socketio.client import Application, Origin, SocketioClient
from forestay.protocol.socketio.packets import Decoder

# In the User-Agent of the stock clients for Java and Android.
_DEAF: Final = "okhttp"


@dataclass(frozen=True, slots=True)
class PacketLimits:
    """What one packet may be."""

    bytes: int
    """With its binary parts."""
    depth: int
    """Nested arrays and objects."""


class Clients:
    """Makes the listener of each new session. The Application of the engine."""

    def __init__(self, application: Application, limits: PacketLimits, *, query_token: bool) -> None:
        """`query_token`: whether a token in the URL is accepted."""
        self._application = application
        self._limits = limits
        self._query_token = query_token

    def opened(self, session: Session, opening: Opening) -> SocketioClient:
        """See forestay.edge.engineio.application.Application.opened."""
        request = opening.request
        origin = Origin(
            opening.client,
            next(iter(carried(request, query_token=self._query_token)), None),
            _DEAF in request.headers.get("User-Agent", "").lower(),
            request.headers.get("Origin"),
        )
        return SocketioClient(session, origin, self._application, Decoder(self._limits.bytes, self._limits.depth))
