"""The grammar of room names and of patterns for them.

A bad name is refused and never normalised, so that two names that only look alike (case, accents, zero-width marks)
never lead to one room. Rights are not checked here.
"""

import re
from typing import Final, NewType

RoomName = NewType("RoomName", str)
"""A checked room name, or the name of a personal room between pods (`@` and the user's `sub`)."""

PROTOCOL: Final = "forestay.v1"
"""The WebSocket subprotocol, and the protocol that `welcome` names."""

PERSONAL: Final = "@me"
"""A user's name for its personal room, and the pattern that sets its policy."""

GRAMMAR: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}"
_ROOM = re.compile(GRAMMAR, re.ASCII).fullmatch
# A pattern is a room name in which whole segments may be `*`, and the last one `**`.
_SEGMENT = re.compile(r"[A-Za-z0-9_:-]*", re.ASCII).fullmatch


def parse_room(text: str) -> RoomName | None:
    """`text` as a room name, or None where it is none. `@me` is no room name: it means another room for each user."""
    return RoomName(text) if _ROOM(text) else None


def personal_room(user: str) -> RoomName:
    """The personal room of `user`. No room name starts with `@`, so no client can name the room of another user."""
    return RoomName("@" + user)


def pods_room(pod: str = "") -> RoomName:
    """The room of the control channel, of all pods or of one. No client can name it."""
    return RoomName("!" + pod)


def is_ours(text: str) -> bool:
    """Whether `text` names a room that only the gateway can name: a personal room, or one of the control channel."""
    return text[:1] == "!" or (text[:1] == "@" and len(text) > 1)


def is_personal(room: RoomName) -> bool:
    return room[0] == "@"


def shown(room: RoomName) -> str:
    """The name of `room` for clients. A personal room is `@me`, because only its owner ever gets its messages."""
    return PERSONAL if room[0] == "@" else room


class Pattern:
    """Names several rooms: `*` stands for one segment, and `**` at the end for one or more.

    `chat.*` matches `chat.lobby`, but neither `chat` nor `chat.lobby.admin`. `**` matches all rooms but personal ones.
    """

    __slots__ = ("head", "open_ended", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError where `text` is no pattern."""
        segments = text.split(".")
        open_ended = segments[-1] == "**"
        head = segments[:-1] if open_ended else segments
        if text != PERSONAL:
            if not text or len(text) > 128:
                raise ValueError(f"a pattern has 1 to 128 characters: {text[:140]!r}")
            if not all(segment == "*" or _SEGMENT(segment) for segment in head):
                raise ValueError(f"a pattern is segments of a room name, '*' for one, '**' for the rest: {text!r}")
            if not re.match(r"[A-Za-z0-9*]", text, re.ASCII):
                raise ValueError(f"a pattern starts with a letter, a digit or '*': {text!r}")
        self.text = text
        self.open_ended = open_ended
        """Whether it ends with `**`."""
        self.head = head
        """Its segments, without a `**` at the end."""

    def matches(self, room: str) -> bool:
        """Whether the pattern matches `room`, which is a room name or `@me`."""
        segments = room.split(".")
        head = self.head
        if len(segments) <= len(head) if self.open_ended else len(segments) != len(head):
            return False
        if room[0] == "@" and self.text != PERSONAL:
            return False
        return all(want == "*" or want == have for want, have in zip(head, segments, strict=False))

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"
