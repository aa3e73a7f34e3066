"""The ids of events: how far a client has come in the rooms of its stream, without their names.

    XK3v1Q:41.pQm2…-1f,7,,903.pA81…-3        check : one entry for each room of the URL, in its order

An entry is an offset and an epoch, an offset alone where the epoch is that of the entry before, or empty. The check is
of the names of the rooms, so that the id of another URL is never taken for a position. A stream that was opened with a
ticket has a secret behind the check: only the client that got the id can resume it. Ids are ASCII and below 4 kB.

A client that changes its rooms knows their positions from the messages, and puts an id together itself. It has a star
in place of the check: the entries are for the rooms of the URL that it is sent with.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from forestay.protocol.codes import Verdict, verdict
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position

MAX_ROOMS: Final = 100
"""Rooms of one stream. So many positions fit into an id."""

MAX_BYTES: Final = 4000
"""Of one id. Some servers and proxies take a header up to twice as long."""

SECRET: Final = 24
"""Characters of the secret of a ticket's stream."""

NOWHERE: Final = Position("?", 0)
"""A position that no room has: a client that gives it has missed messages, and is told so."""

_ENDED: Final = "end."
_OWN: Final = "*"
_EPOCH: Final = re.compile(r"[\w-]{1,64}", re.ASCII)
_ID: Final = re.compile(rf"(\*|[\w-]{{6}})([\w-]{{{SECRET}}})?:([\w.,-]*)", re.ASCII)
_ENTRY: Final = re.compile(r"(?:(\d{1,16})(?:\.([\w-]{1,64}))?)?", re.ASCII)


class LastEvent(NamedTuple):
    """What the id of an event says."""

    positions: Mapping[RoomName, Position]
    """Empty where the id is not one of this URL."""
    secret: str = ""
    """See SECRET; empty where there is none."""
    ended: int | None = None
    """The code with which the gateway ended the stream, where the client must not come back."""


class EventIds:
    """Writes the ids of one stream."""

    __slots__ = ("_positions", "_rooms", "_start")

    def __init__(self, rooms: Sequence[RoomName], secret: str, known: Mapping[RoomName, Position]) -> None:
        """`rooms`: those of the URL. `known`: the positions with which the client has come."""
        self._rooms = rooms
        self._start = f"id: {_check(rooms)}{secret}:"
        self._positions = dict(known)

    def line(self, positions: Mapping[RoomName, Position] | None = None) -> bytes:
        """The line with the id, for a client that has come so far. Rooms that are not named stay where they are."""
        if positions is not None:
            self._positions.update(positions)
        entries, before, left = [], "", MAX_BYTES - len(self._start) - len(self._rooms)
        for room in self._rooms:
            position = self._positions.get(room)
            entry = ""
            if position is not None and _EPOCH.fullmatch(position.epoch):
                entry = str(position.offset) if position.epoch == before else f"{position.offset}.{position.epoch}"
                if len(entry) > left:
                    # A client that comes back is told that it is not recovered.
                    entry = ""
                else:
                    before = position.epoch
            left -= len(entry)
            entries.append(entry)
        return f"{self._start}{','.join(entries)}\n".encode()

    def line_at(self, room: RoomName, position: Position) -> bytes:
        """The line with the id, for a client that has come to `position` in `room`."""
        self._positions[room] = position
        return self.line()


def read_id(text: str, rooms: Sequence[RoomName | None]) -> LastEvent:
    """What `text` says, which a client of a stream of these `rooms` gave as its last id.

    None in `rooms` is a text of the URL that is no room.
    """
    if text.startswith(_ENDED):
        code = text[len(_ENDED) :]
        known = code.isascii() and code.isdigit() and len(code) == 4 and verdict(int(code)) is Verdict.STOP
        return LastEvent({}, ended=int(code) if known else None)
    found = _ID.fullmatch(text) if len(text) <= MAX_BYTES else None
    if found is None:
        return LastEvent({})
    secret, entries = found[2] or "", found[3].split(",")
    valid = [room for room in rooms if room is not None]
    named = rooms if found[1] == _OWN else valid
    if found[1] not in (_OWN, _check(valid)) or len(entries) != max(1, len(named)):
        return LastEvent({}, secret)
    positions: dict[RoomName, Position] = {}
    epoch = ""
    for room, entry in zip(named, entries, strict=False):
        parts = _ENTRY.fullmatch(entry)
        if parts is None or (parts[1] is not None and not (parts[2] or epoch)):
            return LastEvent({}, secret)
        if parts[1] is not None:
            epoch = parts[2] or epoch
            if room is not None:
                positions[room] = Position(epoch, int(parts[1]))
    return LastEvent(positions, secret)


def secret_of(text: str | None) -> str:
    """The secret in an id of any URL; empty where there is none."""
    found = None if text is None else _ID.fullmatch(text)
    return "" if found is None else found[2] or ""


def end_id(code: int) -> bytes:
    """The line with the id of a last event, after which the client must not come back."""
    return f"id: {_ENDED}{code}\n".encode()


def stops(code: int) -> bool:
    """Whether a client must not come back after the close code `code`."""
    return verdict(code) is Verdict.STOP


def _check(rooms: Sequence[RoomName]) -> str:
    digest = blake2b("\n".join(rooms).encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return urlsafe_b64encode(digest)[:6].decode()
