"""The identity of a caller, and its rights by room pattern.

The rights of all matching patterns are united. A matching pattern without rights wins over all others. Tokens are read
by a Verifier, not here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Flag
from functools import lru_cache
from typing import Final

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import Pattern, RoomName, is_personal, shown

MAX_USER: Final = 256
"""The most characters of the name of a user."""

# Control characters, and halves of surrogate pairs, which UTF-8 cannot encode.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def is_user(name: str) -> bool:
    """Whether a user may have this name: a token with another one is refused."""
    return 0 < len(name) <= MAX_USER and _FORBIDDEN(name) is None


class Right(Flag):
    """What a token may allow in a room."""

    JOIN = 1
    BROADCAST = 2
    PRESENCE = 4
    HISTORY = 8


# All united rights, by their value. Python unites members of a Flag in a microsecond, and numbers in none.
_UNITED: Final = tuple(Right(value) for value in range(16))
_LETTERS = {"r": Right.JOIN, "w": Right.BROADCAST, "p": Right.PRESENCE, "h": Right.HISTORY}
_NAMES = {right: letter for letter, right in _LETTERS.items()}
_NONE = Right(0)
# A user may join its own personal room, with any token. The personal rooms of others cannot be named.
_PERSONAL = Right.JOIN | Right.HISTORY
# Decisions that are kept for each identity. A client can ask about any number of names, so the number is bounded.
_REMEMBERED = 256
# Different sets of rules that are kept for the next token that has them: an issuer gives the same ones to many users.
_READ = 64


class Rules:
    """The rules of a token: rights by pattern, as a tree of segments.

    A name is looked up segment by segment, so the number of patterns hardly matters. A client may ask for a decision
    about each of its rooms with each new token.
    """

    __slots__ = ("_root", "letters")

    def __init__(self, letters: Iterable[tuple[str, str]]) -> None:
        """`letters`: patterns with their letters. Raises ValueError where one is unknown."""
        self._root = _Node()
        self.letters = tuple(letters)
        for text, rights in self.letters:
            pattern = Pattern(text)
            node = self._root
            for segment in pattern.head:
                node = node.below.setdefault(segment, _Node())
            if pattern.open_ended:
                node.rest.append(parse_rights(rights).value)
            else:
                node.here.append(parse_rights(rights).value)

    def decide(self, room: RoomName) -> Right:
        """The united rights of all patterns that match `room`; none where one of them has none."""
        nodes, found = [self._root], list[int]()
        for segment in room.split("."):
            below: list[_Node] = []
            for node in nodes:
                found += node.rest
                below += [node.below[step] for step in (segment, "*") if step in node.below]
            nodes = below
        for node in nodes:
            found += node.here
        united = 0
        for rights in found:
            if not rights:
                return _NONE
            united |= rights
        return _UNITED[united]


class _Node:
    """What follows after some segments."""

    __slots__ = ("below", "here", "rest")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.here: list[int] = []
        """Values of the rights of patterns that end here."""
        self.rest: list[int] = []
        """Of patterns that go on with `**`."""


class Rights:
    """What one token allows, by room."""

    __slots__ = ("_known", "_rules", "_targets")

    def __init__(self, rules: Rules | Mapping[str, str]) -> None:
        """`rules`: letters by pattern, or the result of `read_rules`. Raises ValueError where one is unknown."""
        self._rules = rules if isinstance(rules, Rules) else read_rules(rules)
        self._known: dict[RoomName, Right] = {}
        self._targets: dict[str, RoomName] | None = None

    @property
    def letters(self) -> Iterable[tuple[str, str]]:
        """The rules as they were given: letters by pattern."""
        return self._rules.letters

    def of(self, room: RoomName) -> Right:
        """The rights in `room`."""
        known = self._known.get(room)
        if known is None:
            known = _PERSONAL if is_personal(room) else self._rules.decide(room)
            if len(self._known) < _REMEMBERED:
                self._known[room] = known
        return known

    def target(self, text: str) -> RoomName | None:
        """The room called `text`, where it is known that the token lets publish to it: see `note_target`."""
        return None if self._targets is None else self._targets.get(text)

    def note_target(self, name: RoomName) -> None:
        """Remember that `name` is the name of a room, and that the token lets publish to it.

        Each message of a client needs both, and most go to the same few rooms.
        """
        if self._targets is None:
            self._targets = {}
        if len(self._targets) < _REMEMBERED:
            self._targets[name] = name


def read_rules(letters: Mapping[str, str]) -> Rules:
    """Rights by pattern, read once for many tokens. Raises ValueError where a pattern or a letter is unknown."""
    return _read(tuple(letters.items()))


@lru_cache(_READ)
def _read(letters: tuple[tuple[str, str], ...]) -> Rules:
    return Rules(letters)


def parse_rights(letters: str) -> Right:
    """Letters such as `"rw"` as rights. The empty string gives no right. Raises ValueError."""
    rights = _NONE
    for letter in letters:
        if letter not in _LETTERS:
            raise ValueError(f"a right is one of r (join), w (broadcast), p (presence), h (history), not {letter!r}")
        rights |= _LETTERS[letter]
    return rights


# Not frozen: that would cost each connection a microsecond.
@dataclass(slots=True, eq=False)
class Identity:
    """A verified caller. The core knows nothing else of a token."""

    user: str
    """The token's `sub`: any non-empty string of at most 256 characters."""
    rights: Rights
    expires_at: float
    """Unix seconds, without leeway."""
    token_id: str | None = None
    """The token's `jti`."""
    issued_at: float | None = None
    """The token's `iat`, Unix seconds."""
    info: bytes | None = None
    """The token's `info` as JSON: what others may know about the user."""
    claims: bytes | None = None
    """All claims of the token as JSON, where there are hooks that get them."""

    def require(self, right: Right, room: RoomName) -> None:
        """Raises Refusal unless the token gives `right` in `room`.

        A room without members and a room that is closed to this user get the same answer, so names cannot be probed.
        """
        if right not in self.rights.of(room):
            raise Refusal(ErrorCode.FORBIDDEN, f"the token lacks the right '{_NAMES[right]}' in {shown(room)}")
