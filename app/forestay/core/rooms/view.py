"""What this pod knows of one room with history: how far its members were served, and what waits for a read."""

from asyncio import Task
from collections.abc import Callable

from forestay.core.fanout.backlog import Backlog
from forestay.core.ports.bus import Page
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message
from forestay.protocol.position import Position


class View:
    """One room with history, as far as its members here were served."""

    __slots__ = (
        "held",
        "kept",
        "open",
        "overflowed",
        "position",
        "readers",
        "reads",
        "suspect",
        "tail",
        "waiting",
    )

    def __init__(self, kept: Retention) -> None:
        self.kept = kept
        self.open = True
        self.position: Position | None = None
        """The last message that the members were given; None until it is known."""
        self.held: Backlog[Message] | None = Backlog()
        """Messages that wait until the history is read; None while the view is complete."""
        self.overflowed = False
        """Whether there were too many of them. The history is then read once more."""
        self.waiting: list[Callable[[], None]] = []
        """Called once the view is complete."""
        self.readers = 0
        """Joins that read the history now."""
        self.tail: Backlog[Message] = Backlog()
        """The latest messages that were served while joins read the history."""
        self.reads: dict[tuple[Position, int], Task[Page | None]] = {}
        """Reads under way, by their start and their bytes: who asks the same gets the same answer."""
        self.suspect: Position | None = None
        """The view's own position when the last check found that the room has another one."""

    def note(self, message: Message) -> None:
        """The members are given `message`, which has a position."""
        self.position = message.position
        if self.readers:
            self.tail.push(message, len(message.payload))
