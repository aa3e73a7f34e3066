"""The Transport port: writes bytes to one client."""

from typing import Protocol

from forestay.protocol.codes import Ending
from forestay.protocol.wire import Wire


class Transport(Protocol):
    """The way to one client. Nothing here blocks or raises."""

    @property
    def wire(self) -> Wire:
        """How this client is written to. It never changes."""

    def write(self, data: bytes, /) -> None:
        """Send finished bytes, after everything that was written before."""

    def buffered(self) -> int:
        """Bytes that were written and that the kernel has not taken yet."""

    def closed(self) -> bool:
        """Whether a write would be pointless: the transport is closed, closing or broken."""

    def hold_reading(self) -> None:
        """Read nothing more from the client until it has taken what was written."""

    def close(self, ending: Ending) -> None:
        """Write why the connection ends. Nothing can be written after that."""
