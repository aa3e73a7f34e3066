"""The port of what carries a session: polling or a WebSocket, or nothing where the session is gone."""

from typing import Final, Protocol

from forestay.edge.websocket.outlet import Outlet
from forestay.protocol.codes import Ending


class Carrier(Protocol):
    """The transport of a session. It tells the session when it is gone."""

    @property
    def outlet(self) -> Outlet | None:
        """See Session.outlet."""

    def write(self, data: bytes, /) -> None:
        """See Session.write."""

    def buffered(self) -> int:
        """See Session.buffered."""

    def closed(self) -> bool:
        """See Session.closed."""

    def hold_reading(self) -> None:
        """See Session.hold_reading."""

    def end(self, ending: Ending, *, cut: bool, keep: bool) -> None:
        """Close, after what was written where `keep` says so. `cut`: see Session.end."""

    def left(self) -> None:
        """Close after what was written, because the client has said that it goes."""


class _NoCarrier:
    """The carrier of a session that is gone."""

    outlet: Final = None

    def write(self, data: bytes, /) -> None:
        """Nobody is there."""

    def buffered(self) -> int:
        return 0

    def closed(self) -> bool:
        return True

    def hold_reading(self) -> None:
        """Nothing is read."""

    def end(self, ending: Ending, *, cut: bool, keep: bool) -> None:
        """It is closed."""

    def left(self) -> None:
        """It is closed."""


class _NoListener:
    """The listener of a session that is gone."""

    def text(self, data: str, /) -> None:
        """Nothing is taken."""

    def binary(self, data: bytes, /) -> None:
        """Nothing is taken."""

    def end(self, ending: Ending, /) -> None:
        """It has ended."""

    def lost(self, ending: Ending, /) -> None:
        """It was told."""


NO_CARRIER: Final = _NoCarrier()
NO_LISTENER: Final = _NoListener()
