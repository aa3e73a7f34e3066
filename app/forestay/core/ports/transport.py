"""The Transport port: writes bytes to one client."""

from typing import Protocol

from forestay.protocol.codes import Ending


class Transport(Protocol):
    """One client's connection to us, as much of it as the core needs. Nothing here blocks or raises."""

    def write(self, data: bytes, /) -> None:
        """Send finished frames, after everything written before."""

    def buffered(self) -> int:
        """Bytes written that the kernel has not taken yet."""

    def closed(self) -> bool:
        """Whether writing has become pointless: closed, closing or broken."""

    def close(self, ending: Ending) -> None:
        """Say goodbye with a close frame; nothing is written behind it."""
