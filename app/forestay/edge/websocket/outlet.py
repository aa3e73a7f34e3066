"""Chooses what writes to one client: the Outlet in C where `forestay.speedups` is installed.

That one can be written to beside the loop: see group_writes.py. What comes meanwhile waits for that write.
"""

import asyncio
from collections.abc import Callable

try:
    from forestay.speedups import Outlet
except ImportError:

    class Outlet:  # type: ignore[no-redef]
        """Writes to one client by its transport."""

        __slots__ = ("buffered", "closing", "transport", "write")

        def __init__(self, transport: asyncio.Transport) -> None:
            self.transport = transport
            self.closing = False
            """Whether nothing more may be written. Set by its owner."""
            # The methods of the transport itself, so that a frame costs one call.
            self.write: Callable[[bytes], None] = transport.write
            self.buffered: Callable[[], int] = transport.get_write_buffer_size

        def closed(self) -> bool:
            """Whether a write would be pointless."""
            return self.closing or self.transport.is_closing()

        def after_writes(self, step: Callable[[], None]) -> None:
            """Do `step` once all writes are with the transport."""
            step()

        def lost(self) -> None:
            """The connection is lost, and its descriptor is about to be closed. Nothing is written after this."""
            # The transport of uvloop raises where that of asyncio drops what is written now.
            self.write = _drop


def _drop(data: bytes) -> None:
    """Write nothing: nobody is there."""


__all__ = ["Outlet"]
