"""Reads the room names in requests, and refuses those that the caller may not name."""

from forestay.core.rules.access import Identity
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import PERSONAL, RoomName, escape, parse_room, personal_room


def named_room(text: str) -> RoomName:
    """The room called `text`. Raises Refusal with INVALID_ROOM."""
    name = parse_room(text)
    if name is None:
        form = "a room is 1 to 128 of A-Z a-z 0-9 _ . : -, a letter or digit first, and %XX of UTF-8 for all else"
        meant = None if "%" in text else escape(text)
        hint = f"; for this name send {meant}, and in a URL %25 for each % of it" if meant else ""
        raise Refusal(ErrorCode.INVALID_ROOM, form + hint)
    return name


def public_room(text: str) -> RoomName:
    """A room that clients can publish to. Raises Refusal."""
    if text == PERSONAL:
        raise Refusal(ErrorCode.FORBIDDEN, "only backends publish to a personal room")
    return named_room(text)


def any_room(identity: Identity, text: str) -> RoomName:
    """A room that `identity` can join: a public one, or its own personal room. Raises Refusal."""
    return personal_room(identity.user) if text == PERSONAL else public_room(text)
