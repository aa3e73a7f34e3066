"""The grammar of room names and of patterns for them.

A bad name is refused and never normalised, so that two names that only look alike (case, accents, zero-width marks)
never lead to one room. Characters outside the grammar are written as `%XX`, the bytes of their UTF-8. Each text has
one such form. Rights are not checked here.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NewType
from urllib.parse import unquote_to_bytes

RoomName = NewType("RoomName", str)
"""A checked room name, or the name of a personal room between pods (`@` and the user's `sub`)."""

PROTOCOL: Final = "forestay.v1"
"""The WebSocket subprotocol, and the protocol that `welcome` names."""

PERSONAL: Final = "@me"
"""A user's name for its personal room, and the pattern that sets its policy."""

LONGEST: Final = 128
"""Characters of a room name, escapes included."""

GRAMMAR: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}"
"""Room names without an escape."""
_ROOM = re.compile(GRAMMAR, re.ASCII).fullmatch
# A pattern is a room name in which whole segments may be `*`, and the last one `**`.
_SEGMENT = re.compile(r"[A-Za-z0-9_:-]*", re.ASCII).fullmatch

_FIRST: Final = re.compile(rb"[^A-Za-z0-9]")
_LATER: Final = re.compile(rb"[^A-Za-z0-9_.:-]")


def parse_room(text: str) -> RoomName | None:
    """`text` as a room name, or None where it is none. `@me` is no room name: it means another room for each user."""
    return RoomName(text) if _ROOM(text) or _is_escaped(text) else None


def escape(text: str) -> RoomName | None:
    """The name of the room that an application calls `text`; None where it is empty or its name would be too long.

    Each character that the grammar does not take becomes the `%XX` of its UTF-8 bytes. `unescape` is the inverse.
    """
    name = escaped(text)
    return RoomName(name) if 0 < len(name) <= LONGEST else None


def escaped(text: str, *, first: bool = True) -> str:
    """`text` as a part of a room name: its beginning, or with `first=False` what follows. Empty where it is no text.

    A text with half of a surrogate pair has no UTF-8.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return ""
    if first:
        return (_FIRST.sub(_as_escape, data[:1]) + _LATER.sub(_as_escape, data[1:])).decode()
    return _LATER.sub(_as_escape, data).decode()


def unescape(name: str) -> str:
    """What an application calls the room `name`, or the part `name` of a room name."""
    return unquote_to_bytes(name).decode(errors="replace") if "%" in name else name


def namespace_prefix(path: str) -> str:
    """What the rooms of the namespace `path` begin with, before `escape`: nothing for `/`, `a.b.` for `/a/b`."""
    inner = path.strip("/").replace("/", ".")
    return f"{inner}." if inner else ""


def _as_escape(byte: re.Match[bytes]) -> bytes:
    return b"%%%02X" % byte[0][0]


def _is_escaped(text: str) -> bool:
    """Whether `text` is a room name with escapes."""
    return "%" in text and len(text) <= LONGEST and _is_canonical(text)


def _is_canonical(name: str, *, first: bool = True) -> bool:
    """Whether `name` is what `escaped` writes for some text."""
    try:
        return escaped(unquote_to_bytes(name).decode(), first=first) == name
    except UnicodeDecodeError:
        return False


def personal_room(user: str) -> RoomName:
    """The personal room of `user`. No room name starts with `@`, so no client can name the room of another user."""
    return RoomName("@" + user)


def pods_room(pod: str = "") -> RoomName:
    """The room of the control channel, of all pods or of one. No client can name it."""
    return RoomName("!" + pod)


def online_room(user: str) -> RoomName:
    """The room in which `user` is present while it has a connection. No client can name it, and it has no messages."""
    return RoomName("~" + urlsafe_b64encode(user.encode("utf-8", "surrogatepass")).decode())


def user_online(room: RoomName) -> str | None:
    """The user whose `online_room` this is; None for other rooms."""
    if room[0] != "~":
        return None
    try:
        return urlsafe_b64decode(room[1:]).decode("utf-8", "surrogatepass")
    except ValueError:
        return None


def is_ours(text: str) -> bool:
    """Whether `text` names a room that only the gateway can name: a personal room, or one of the control channel."""
    return text[:1] == "!" or (text[:1] == "@" and len(text) > 1)


def is_personal(room: RoomName) -> bool:
    return room[0] == "@"


def shown(room: RoomName) -> str:
    """The name of `room` for clients. A personal room is `@me`, because only its owner ever gets its messages.

    The room of a user's connections has the same name, so that one policy holds for what is about a user.
    """
    return PERSONAL if room[0] in "@~" else room


def _is_segment(text: str, *, first: bool) -> bool:
    """Whether `text` can be a segment of a pattern."""
    return text == "*" or _SEGMENT(text) is not None or ("%" in text and _is_canonical(text, first=first))


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
            if not all(_is_segment(segment, first=number == 0) for number, segment in enumerate(head)):
                raise ValueError(f"a pattern is segments of a room name, '*' for one, '**' for the rest: {text!r}")
            if not re.match(r"[A-Za-z0-9*%]", text, re.ASCII):
                raise ValueError(f"a pattern starts with a letter, a digit, an escape or '*': {text!r}")
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
