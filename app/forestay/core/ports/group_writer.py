"""The GroupWriter port: writes to many clients at once, beside the loop."""

from collections.abc import Callable, Sequence
from typing import Protocol

from forestay.core.ports.transport import Transport


class Group:
    """A write to each of many clients. None of them comes twice."""

    __slots__ = ("buffers", "transports")

    def __init__(self, transports: list[Transport], buffers: list[bytes]) -> None:
        """`buffers`: what each transport at the same place writes. Nobody changes the lists after this."""
        self.transports = transports
        self.buffers = buffers


class GroupWriter(Protocol):
    """Writes to many clients at once. The loop goes on meanwhile, and what it writes to them comes after that."""

    def write(self, group: Group, written: Callable[[float], None]) -> Sequence[int]:
        """Make the writes of `group` to clients that are open and for which nothing waits to be written.

        Returns the places of the others in the group, which the caller writes to. Nothing here raises. `written` is
        called once, when each buffer is with the kernel or with its transport. It gets the seconds of CPU that the
        writes took beside the loop.
        """
