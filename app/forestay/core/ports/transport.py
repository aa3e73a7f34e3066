"""The Transport port: writes bytes to one client."""

from collections.abc import Mapping
from typing import Protocol

from forestay.protocol.codes import Ending
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.wire import Wire


class Transport(Protocol):
    """The way to one client. Nothing here blocks or raises."""

    @property
    def wire(self) -> Wire:
        """How this client is written to. It never changes."""

    def write(self, data: bytes, /) -> None:
        """Send finished bytes, after everything that was written before."""

    def tail(self, positions: Mapping[RoomName, Position], /) -> bytes:
        """The last bytes of a write, which tell the client how far it has come. Only asked where `wire.tailed`.

        `positions`: of each room with history that the client is in, what it has been written, this write included. A
        client that comes back with them gets what follows. The tail is also written when the rooms have changed.
        """

    def buffered(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""

    def closed(self) -> bool:
        """Whether a write would be pointless: the transport is closed, closing or broken."""

    def hold_reading(self) -> None:
        """Read nothing more from the client until it has taken what was written."""

    def close(self, ending: Ending) -> None:
        """Write why the connection ends, where the client is still to be told. Nothing can be written after that."""
