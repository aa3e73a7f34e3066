"""The history of one room within one process."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, takewhile
from typing import Final, TypeVar

from forestay.core.ports.bus import Cause, Forgotten, Outcome, Page, Query, Settlement
from forestay.core.rules.policies import QUIET_TTL, Retention
from forestay.protocol.message import Message, content_digest
from forestay.protocol.position import Position

Entry = TypeVar("Entry")

# Bytes of the other fields of a message, encoded.
_FIELDS: Final = 50


def within(found: Sequence[Entry], max_bytes: int, size: Callable[[Entry], int]) -> Sequence[Entry]:
    """The first of `found` that have at most `max_bytes` together, and always the first one."""
    sizes = accumulate(map(size, found))
    return found[: max(1, sum(1 for _ in takewhile(lambda total: total <= max_bytes, sizes)))]


class History:
    """The history of one room."""

    def __init__(self, epoch: str, now: float) -> None:
        self.epoch = epoch
        self.offset = 0
        self.entries: deque[Message] = deque()
        self.bytes = 0
        self.expires = now
        """When the entries expire."""
        self.forgotten = now + QUIET_TTL
        """When epoch and offset expire too."""
        self.keys: dict[tuple[str | None, str], tuple[float, Position, bytes]] = {}
        """When each key of a sender is forgotten, and what was published with it: the position and the digest."""

    @property
    def top(self) -> Position:
        return Position(self.epoch, self.offset)

    def append(self, message: Message, kept: Retention, now: float) -> Message:
        """Add `message`, and return it with its position."""
        self.expire(now)
        self.offset += 1
        message = message.copy()
        message.position = self.top
        self.entries.append(message)
        self.bytes += _stored(message)
        while len(self.entries) > kept.size or (kept.bytes and self.bytes > kept.bytes and len(self.entries) > 1):
            self.bytes -= _stored(self.entries.popleft())
        self.expires = now + kept.ttl
        self.forgotten = self.expires + QUIET_TTL
        return message

    def expire(self, now: float) -> None:
        if now >= self.expires:
            self.entries.clear()
            self.bytes = 0

    def forget(self) -> Forgotten:
        """Delete the messages. Position and keys stay."""
        deleted = len(self.entries)
        self.entries.clear()
        self.bytes = 0
        return Forgotten(deleted, self.top)

    def earlier(self, message: Message, key: str, now: float) -> Settlement | None:
        """The outcome where the sender of `message` has used `key` before; None where it has not."""
        for known, (expires, _, _) in list(self.keys.items()):
            if expires > now:
                break
            del self.keys[known]
        found = self.keys.get((message.sender, key))
        if found is None:
            return None
        _, position, digest = found
        if digest != content_digest(message):
            return Settlement(Outcome.REFUSED, cause=Cause.KEY_REUSED)
        return Settlement(Outcome.ACCEPTED, position)

    def read(self, query: Query) -> Page:
        entries: Iterable[Message] = self.entries
        whole = True
        if query.since is not None:
            whole = query.since.epoch == self.epoch and self._reaches(query.since.offset)
            after = query.since.offset if query.since.epoch == self.epoch else 0
            found = [entry for entry in entries if _offset(entry) > after]
            page = within(found[: query.limit], query.max_bytes, _size)
            return Page(self.top, page, whole, len(found) > len(page))
        if query.before is not None and query.before.epoch == self.epoch:
            found = [entry for entry in entries if _offset(entry) < query.before.offset]
        else:
            found = list(entries)
        newest = found[-query.limit :] if query.limit else []
        page = within(newest[::-1], query.max_bytes, _size)[::-1]
        return Page(self.top, page, whole, len(found) > len(page))

    def _reaches(self, offset: int) -> bool:
        """Whether everything after `offset` is still there."""
        if offset >= self.offset:
            return offset == self.offset
        return bool(self.entries) and _offset(self.entries[0]) <= offset + 1


def _size(entry: Message) -> int:
    return len(entry.payload)


def _stored(entry: Message) -> int:
    """The bytes that `entry` counts for: about as many as on another bus."""
    return len(entry.payload) + len(entry.sender or "") + len(entry.room) + _FIELDS


def _offset(entry: Message) -> int:
    return entry.position.offset if entry.position else 0
