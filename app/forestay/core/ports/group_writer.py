"""The GroupWriter port: writes to many clients at once, beside the loop."""

from collections.abc import Callable
from typing import Protocol

from forestay.core.ports.transport import Transport


class Group:
    """A write to each of many clients. None of them is closed, and none comes twice."""

    __slots__ = ("buffers", "transports")

    def __init__(self) -> None:
        self.transports: list[Transport] = []
        self.buffers: list[bytes] = []
        """What each transport at the same place writes."""

    def add(self, transport: Transport, data: bytes) -> None:
        """Add a write of `data`."""
        self.transports.append(transport)
        self.buffers.append(data)


class GroupWriter(Protocol):
    """Writes to many clients at once. The loop goes on meanwhile, and what it writes to them comes after that."""

    def write(self, group: Group, written: Callable[[float], None]) -> None:
        """Make the writes of `group`. Nothing here raises.

        `written` is called once, when each buffer is with the kernel or with its transport. It gets the seconds that
        the writes took beside the loop.
        """
