"""What a room may be called, and which rooms a pattern names: one grammar for both.

Names are refused, never normalised: what looks alike but is not alike must not meet (case, accents, zero-width marks).
This module does not know who may enter a room.
"""

import re
from typing import Final, NewType

RoomName = NewType("RoomName", str)
"""A checked room name, or a personal room's name as the pods know it (`@` and the user's `sub`)."""

PROTOCOL: Final = "forestay.v1"
"""The WebSocket subprotocol, and what `welcome` calls the protocol spoken."""

PERSONAL: Final = "@me"
"""What a user calls the personal room, and the pattern that sets its policy."""

GRAMMAR: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}"
_ROOM = re.compile(GRAMMAR, re.ASCII).fullmatch
# A pattern is a room name in which whole segments may be `*`, and the last one `**`.
_SEGMENT = re.compile(r"[A-Za-z0-9_:-]*", re.ASCII).fullmatch


def parse_room(text: str) -> RoomName | None:
    """`text` as a room's name, or None where it is none. `@me` is not a room's name but a user's word for one."""
    return RoomName(text) if _ROOM(text) else None


def personal_room(user: str) -> RoomName:
    """The personal room of `user`; no room name starts with `@`, so it cannot be reached by any other road."""
    return RoomName("@" + user)


def pods_room(pod: str = "") -> RoomName:
    """Where pods speak to one another, or to one of them; no client's word names it."""
    return RoomName("!" + pod)


def is_ours(text: str) -> bool:
    """Whether `text` is the name of a room that the gateway made: a personal one, or one of the pods'."""
    return text[:1] == "!" or (text[:1] == "@" and len(text) > 1)


def is_personal(room: RoomName) -> bool:
    return room[0] == "@"


def shown(room: RoomName) -> str:
    """What clients call `room`: its name, or `@me`, since only its owner ever hears of a personal room."""
    return PERSONAL if room[0] == "@" else room


class Pattern:
    """Rooms named at once: `*` stands for one segment, a last `**` for one or more; everything else for itself.

    `chat.*` names `chat.lobby` but neither `chat` nor `chat.lobby.admin`; `**` names every room but the personal ones.
    """

    __slots__ = ("_head", "_open", "text")

    def __init__(self, text: str) -> None:
        """Raises ValueError with what is wrong."""
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
        self._open = open_ended
        self._head = head

    def matches(self, room: str) -> bool:
        """Whether `room`, a room's name or `@me`, is among the rooms that this pattern names."""
        segments = room.split(".")
        head = self._head
        if len(segments) <= len(head) if self._open else len(segments) != len(head):
            return False
        if room[0] == "@" and self.text != PERSONAL:
            return False
        return all(want == "*" or want == have for want, have in zip(head, segments, strict=False))

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"
