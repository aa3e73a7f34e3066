"""Writes and reads the text by which a client says where it was in its rooms.

Stock clients keep the last argument of the last event, where it is a string, and bring it back when they reconnect. The
gateway ends its writes with such a text, so any pod can tell what a client missed. The text begins with the secret of
the connection, so a string that another user sent is never taken for it.

    <pid>                                     not to be recovered
    <pid> <room> <epoch> <offset> <room> …    room names as the gateway writes them, without spaces
"""

import re
from collections.abc import Mapping
from typing import Final

from forestay.protocol.position import Position

POSITION_EVENT: Final = b"forestay:position"
"""The name of the event that brings the text."""

LONGEST: Final = 1024
"""Characters of the text without its secret. A client with more rooms is not recovered."""

_MAX_OFFSET: Final = 2**53
_PID = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII).fullmatch
_EPOCH = re.compile(r"[A-Za-z0-9_.:-]{1,32}", re.ASCII).fullmatch
_OFFSET = re.compile(r"[0-9]{1,16}", re.ASCII).fullmatch


def written(positions: Mapping[str, Position]) -> str:
    """What follows the secret: empty where there are no positions, or too many."""
    text = "".join([f" {room} {at.epoch} {at.offset}" for room, at in positions.items()])
    return text if len(text) <= LONGEST else ""


def read(pid: str, text: str) -> dict[str, Position] | None:
    """The positions by room name in `text`; None where it is not of the connection `pid`, or cannot recover it."""
    if not _PID(pid) or len(text) > len(pid) + LONGEST:
        return None
    secret, *fields = text.split(" ")
    if secret != pid or not fields or len(fields) % 3:
        return None
    found: dict[str, Position] = {}
    for room, epoch, offset in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        if not room or not _EPOCH(epoch) or not _OFFSET(offset) or int(offset) > _MAX_OFFSET:
            return None
        found[room] = Position(epoch, int(offset))
    return found
