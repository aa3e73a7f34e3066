"""Builds the commands that read the history of rooms, and reads their replies.

The replies are trusted no more than any other data on the bus.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.keys import RoomKeys
from forestay.bus.redis.scripts import FORGET, POSITIONS, READ
from forestay.core.ports.bus import BusLost, Forgotten, Page, Query
from forestay.core.rules.policies import Retention
from forestay.protocol.envelope import BadEnvelope
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position

# Rooms in one command. The script takes about a microsecond for each, and Redis serves no other client meanwhile.
_MAX_ROOMS: Final = 500

# The largest number that Lua holds exactly. A client may name any offset; none of ours is larger.
_MAX_OFFSET: Final = 2**53 - 1


class Asker(NamedTuple):
    """What goes with each question."""

    incarnation: bytes
    """That of the node, for servers that let no script ask for INFO."""
    new_epoch: str
    """An epoch that no room has had, in case that Redis has no seed."""
    older_pods: bool
    """Whether a pod is there that knows no first epoch, so that the epochs of empty rooms must be stored."""


def page_command(keys: RoomKeys, query: Query, kept: Retention, asker: Asker) -> bytes:
    """The command that reads the part that `query` asks for."""
    bound = query.since or query.before
    form = "since" if query.since else "before" if query.before else "newest"
    return pack(
        b"EVALSHA",
        READ.digest,
        3,
        keys.meta,
        keys.stream,
        keys.seed,
        asker.incarnation,
        asker.new_epoch,
        max(1, int(kept.ttl * 1000)) if asker.older_pods else 0,
        form,
        bound.epoch.encode("utf-8", "replace") if bound else b"",
        max(0, min(bound.offset, _MAX_OFFSET)) if bound else 0,
        query.limit,
        query.max_bytes,
    )


def read_page(
    reply: object,
    query: Query,
    decode: Callable[[bytes, Position], Message],
    dropped: Callable[[BadEnvelope], None],
) -> Page:
    """The page in the reply to `query`. `decode` reads an envelope, and raises BadEnvelope where it is not believed.

    `dropped` is called for each such entry. Raises BusLost.
    """
    match reply:
        case [bytes() as epoch, int() as offset, list() as entries, int() as cut, int() as first]:
            top = Position(_epoch(epoch), offset)
        case _:
            raise BusLost("the script sent an unexpected reply")
    found: list[Message] = []
    for entry in entries:
        try:
            envelope, position = _entry(entry, top.epoch)
            found.append(decode(envelope, position))
        except BadEnvelope as error:
            dropped(error)
    # A page without messages has no position from which a reader could go on. It would ask for the same page for ever.
    # Where no message was asked for, nobody goes on from the page.
    more = bool(cut) and (bool(found) or query.limit == 0)
    since = query.since
    if since is None:
        return Page(top, found[::-1], whole=True, more=more)
    whole = since.epoch == top.epoch and since.offset <= top.offset
    if whole and since.offset < top.offset:
        whole = first == since.offset + 1 and _dense(found, len(entries))
    return Page(top, found, whole, more)


def forget_command(keys: RoomKeys, incarnation: bytes) -> bytes:
    """The command that deletes the history of a room."""
    return pack(b"EVALSHA", FORGET.digest, 3, keys.meta, keys.stream, keys.seed, incarnation)


def read_forgotten(reply: object) -> Forgotten:
    """What was deleted, from the reply. Raises BusLost."""
    match reply:
        case [bytes() as epoch, int() as offset, int() as messages]:
            return Forgotten(messages, Position(_epoch(epoch), offset) if epoch else None)
        case _:
            raise BusLost("the script sent an unexpected reply")


def in_parts(rooms: Mapping[RoomName, RoomKeys], *, cluster: bool) -> list[dict[RoomName, RoomKeys]]:
    """`rooms` in parts that one script may ask about: on a Cluster, those of one partition."""
    by_partition: dict[int, list[tuple[RoomName, RoomKeys]]] = {}
    for room, keys in rooms.items():
        by_partition.setdefault(keys.partition if cluster else 0, []).append((room, keys))
    return [
        dict(part[at : at + _MAX_ROOMS]) for part in by_partition.values() for at in range(0, len(part), _MAX_ROOMS)
    ]


def positions_command(rooms: Sequence[RoomKeys], asker: Asker) -> bytes:
    """The command that asks for the positions of the rooms with these keys."""
    names = [one.meta for one in rooms]
    if asker.older_pods:
        names += [one.stream for one in rooms]
    names.append(rooms[0].seed)
    return pack(b"EVALSHA", POSITIONS.digest, len(names), *names, asker.incarnation, asker.new_epoch, len(rooms))


def read_positions(reply: object, rooms: int) -> list[Position | None]:
    """The position of each room in the reply; None for a room without messages so far. Raises BusLost."""
    if not isinstance(reply, list) or len(reply) != 2 * rooms:
        raise BusLost("the script sent an unexpected reply")
    pairs = zip(reply[::2], reply[1::2], strict=True)
    return [Position(_epoch(epoch), int(offset)) if epoch else None for epoch, offset in pairs]


def _entry(entry: object, epoch: str) -> tuple[bytes, Position]:
    """Envelope and position of an entry `[id, [field, envelope]]`. Redis makes its id. Raises BadEnvelope."""
    match entry:
        case [bytes() as id, [bytes(), bytes() as envelope]]:
            return envelope, Position(epoch, int(id.partition(b"-")[0]))
        case _:
            raise BadEnvelope("not an entry of ours")


def _epoch(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _dense(messages: Sequence[Message], entries: int) -> bool:
    """Whether all `entries` could be decoded, and their offsets have no gap."""
    offsets = [message.position.offset for message in messages if message.position]
    return len(offsets) == entries and all(later == earlier + 1 for earlier, later in pairwise(offsets))
