"""Keeps what waits for something, up to a number and up to a number of bytes."""

from collections import deque
from collections.abc import Iterator
from typing import Final, Generic, TypeVar

Entry = TypeVar("Entry")

MAX_ENTRIES = 10_000
MAX_BYTES: Final = 4 * 2**20
"""Bytes of payloads in one backlog. The usual room stays far below it; a room of large messages must not fill a pod."""


class Backlog(Generic[Entry]):
    """Entries in the order in which they came, each with its size."""

    __slots__ = ("_entries", "_most", "_size")

    def __init__(self, most: int = MAX_BYTES) -> None:
        """`most`: bytes. One entry always fits."""
        self._entries: deque[tuple[Entry, int]] = deque()
        self._most = most
        self._size = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter([entry for entry, _ in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry, size: int) -> bool:
        """Keep `entry` where it fits. Returns whether it does."""
        if self._entries and (len(self._entries) >= MAX_ENTRIES or self._size + size > self._most):
            return False
        self._entries.append((entry, size))
        self._size += size
        return True

    def push(self, entry: Entry, size: int) -> None:
        """Keep `entry`, and forget the oldest ones that no longer fit beside it."""
        while not self.add(entry, size):
            self.pop()

    @property
    def first(self) -> Entry:
        """The oldest entry."""
        return self._entries[0][0]

    def pop(self) -> Entry:
        """Take out the oldest entry."""
        entry, size = self._entries.popleft()
        self._size -= size
        return entry
