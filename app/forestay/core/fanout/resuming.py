"""The members of a room that are still sent what they missed, and the messages that they cannot get from the history.

Such a member gets no live messages yet: it will read them from the history. Binary messages and news are in no history,
so they are deferred: kept for it here, each with its place among the others.
"""

from collections.abc import Collection, Iterator
from typing import Final

from forestay.core.fanout.backlog import Backlog
from forestay.core.fanout.connection import Connection
from forestay.protocol.message import Message

DEFERRED_BYTES: Final = 2**18
"""Bytes of such messages for one member. With more, it gets a `resync`."""


class Deferred:
    """The messages that one member gets later."""

    __slots__ = ("_messages", "lost")

    def __init__(self) -> None:
        self._messages: Backlog[tuple[int, Message]] = Backlog(DEFERRED_BYTES)
        self.lost = False
        """Whether there was more than fits."""

    def add(self, message: Message, after: int) -> None:
        """Keep `message`, which came after that with the offset `after`."""
        if not self._messages.add((after, message), len(message.payload)):
            self.lost = True

    def take(self, before: int | None) -> Iterator[Message]:
        """Take out what came before the message with the offset `before`; None: all of it."""
        while self._messages and (before is None or self._messages.first[0] < before):
            yield self._messages.pop()[1]


class Resuming:
    """The members of one room that are still sent what they missed."""

    __slots__ = ("_offset", "members")

    def __init__(self, offset: int) -> None:
        """`offset`: of the last message of the room that was delivered here."""
        self._offset = offset
        self.members: dict[Connection, Deferred] = {}

    def delivered(self, message: Message, left_out: Collection[Connection]) -> None:
        """The other members are given `message`, but for those in `left_out`."""
        if message.position is not None:
            self._offset = message.position.offset
            return
        for member, deferred in self.members.items():
            if member not in left_out:
                deferred.add(message, self._offset)
