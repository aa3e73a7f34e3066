"""Something to be done by Redis, and the ways in which it can come to nothing."""

from collections.abc import Callable
from enum import Enum


class Fate(Enum):
    """What became of a command that has no reply."""

    REFUSED = "it was not executed"
    UNKNOWN = "it may have been executed"


Then = Callable[[object], None]


class Command:
    """Something to be done on the node that has `partition`."""

    __slots__ = ("data", "partition", "since", "then", "tries")

    def __init__(self, data: bytes, then: Then, partition: int) -> None:
        """`then` is given the reply, a Complaint, or a Fate."""
        self.data = data
        self.then = then
        self.partition = partition
        self.tries = 0
        """How often it was sent and not executed."""
        self.since = 0.0
