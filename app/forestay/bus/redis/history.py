"""Queries to a room's history as commands, and their answers as pages.

What the answers say is believed no further than any other bytes on the bus.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.keys import Names
from forestay.bus.redis.scripts import READ, STANDINGS
from forestay.core.ports.bus import BusLost, Page, Query
from forestay.core.rules.policies import Retention
from forestay.protocol.envelope import BadEnvelope, decode
from forestay.protocol.message import Message, Position

# What a Lua number holds exactly. A client may name any offset; none of ours is beyond.
_LARGEST: Final = 2**53 - 1


def question(names: Names, query: Query, kept: Retention, run: bytes, fresh: str) -> bytes:
    """The command that reads what `query` asks for and one entry more. `run`, `fresh`: as the scripts say."""
    bound = query.since or query.before
    form = "since" if query.since else "before" if query.before else "newest"
    return pack(
        b"EVALSHA",
        READ.digest,
        2,
        names.meta,
        names.stream,
        run,
        fresh,
        int(kept.ttl * 1000),
        form,
        bound.epoch.encode("utf-8", "replace") if bound else b"",
        max(0, min(bound.offset, _LARGEST)) if bound else 0,
        query.limit + 1,
    )


def page(reply: object, query: Query, garbage: Callable[[], None]) -> Page:
    """The answer to `query`; `garbage` is called for each entry that is none of ours. Raises BusLost."""
    match reply:
        case [bytes() as epoch, int() as offset, list() as entries]:
            top = Position(epoch.decode(), offset)
        case _:
            raise BusLost("the script answered something else")
    more = len(entries) > query.limit
    found: list[Message] = []
    for entry in entries[: query.limit]:
        try:
            found.append(_message(entry, top.epoch))
        except (BadEnvelope, ValueError):
            garbage()
    since = query.since
    if since is None:
        return Page(top, found[::-1], whole=True, more=more)
    whole = since.epoch == top.epoch and since.offset <= top.offset
    if whole and since.offset < top.offset:
        first = _offset(entries[0]) if entries else None
        whole = first == since.offset + 1 and _dense(found, min(len(entries), query.limit))
    return Page(top, found, whole, more)


def standings_question(metas: Sequence[bytes], run: bytes, fresh: str) -> bytes:
    """The command that asks where rooms stand."""
    return pack(b"EVALSHA", STANDINGS.digest, len(metas), *metas, run, fresh)


def standings(reply: object, number: int) -> list[Position | None]:
    """Where each of so many rooms stands; None where nobody ever spoke. Raises BusLost."""
    if not isinstance(reply, list) or len(reply) != 2 * number:
        raise BusLost("the script answered something else")
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return [Position(epoch.decode(), int(offset)) if epoch else None for epoch, offset in pairs]


def _message(entry: object, epoch: str) -> Message:
    """The message of an entry `[id, [field, envelope]]`."""
    match entry:
        case [bytes(), [bytes(), bytes() as envelope]]:
            return decode(envelope, Position(epoch, _offset(entry)))
        case _:
            raise BadEnvelope("no entry of ours")


def _offset(entry: object) -> int:
    return int(entry[0].partition(b"-")[0]) if isinstance(entry, list) else 0


def _dense(messages: Sequence[Message], number: int) -> bool:
    """Whether all `number` entries could be read, and no offset lies between two of them."""
    offsets = [message.position.offset for message in messages if message.position]
    return len(offsets) == number and all(later == earlier + 1 for earlier, later in pairwise(offsets))
