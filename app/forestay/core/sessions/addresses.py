"""Which room is meant by what somebody calls it; a name that is none is refused."""

from forestay.core.fanout.connection import Connection
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import PERSONAL, RoomName, parse_room, personal_room


def named_room(text: str) -> RoomName:
    """The room called `text`. Raises Refusal with INVALID_ROOM."""
    name = parse_room(text)
    if name is None:
        raise Refusal(ErrorCode.INVALID_ROOM, "a room is 1 to 128 of A-Z a-z 0-9 _ . : -, a letter or digit first")
    return name


def public_room(text: str) -> RoomName:
    """A room that clients can speak to. Raises Refusal."""
    if text == PERSONAL:
        raise Refusal(ErrorCode.FORBIDDEN, "only backends speak to a personal room")
    return named_room(text)


def any_room(connection: Connection, text: str) -> RoomName:
    """A room that can be joined: a public one or one's own. Raises Refusal."""
    return personal_room(connection.identity.user) if text == PERSONAL else public_room(text)
