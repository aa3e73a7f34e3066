"""The v1 wire: protocol version 1 over WebSocket, with its encoder and its reader."""

from collections.abc import Callable

from forestay.protocol.requests import TextReader
from forestay.protocol.v1.encoder import Encoder
from forestay.protocol.v1.texts import LARGEST


class V1Wire(Encoder):
    """Encodes for WebSocket connections of version 1, and reads their requests."""

    def __init__(self, clock: Callable[[], float], reader: TextReader, largest: int = LARGEST) -> None:
        """`clock`: Unix seconds, for the `timestamp` of replies. `largest`: bytes of a message; pages are cut to it."""
        super().__init__(clock, largest)
        self.reader = reader

    @property
    def plain(self) -> "V1Wire":
        """See Wire.plain."""
        return self
