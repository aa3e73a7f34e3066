"""Gives rights by what a token says of its user: its roles, its scope, its groups. These are the `[[rights]]` tables.

The tables come from ROOMS_FILE. This module reads the tables, not the file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final

import msgspec

from forestay.core.rules.access import parse_rights
from forestay.core.rules.tables import read_tables
from forestay.edge.tokens.claims import MAX_NAME, Fields, bad_token, read_claim, read_fields
from forestay.protocol.names import Pattern, escaped

MOST: Final = 256
"""The most room patterns that the tables make of the claims of one token."""

Value = str | int
"""What a claim is compared with; True and False are among the integers."""

_PLACE = re.compile(r"\{([^{}]*)\}")
_SCOPES: Final = ("scope", "scp")
_anything: Final = msgspec.json.Decoder[object]()


class ClaimRights:
    """The tables, each with rooms for tokens that have what it asks for. The rights of all that fit are united."""

    def __init__(self, tables: Sequence[Mapping[str, object]]) -> None:
        """Raises ValueError, with what is wrong."""
        self._rules = [_read(table) for table in tables]

    def rooms(self, payload: bytes) -> dict[str, str]:
        """Letters by room pattern for a token with these claims, which are a JSON object. Raises Refusal."""
        fields = read_fields(payload)
        found: dict[str, str] = {}
        for rule in self._rules:
            if rule.fits(fields):
                for template, letters in rule.rooms:
                    for pattern in template.patterns(fields):
                        found[pattern] = _united(found.get(pattern, letters), letters)
                    if len(found) > MOST:
                        raise bad_token(
                            f"too many rights: the claims of the token make more than {MOST} room patterns by "
                            "[[rights]] in FORESTAY_ROOMS_FILE; put fewer values into its claims, or use fewer tables"
                        )
        return found


def _united(one: str, other: str) -> str:
    """The letters of both. Where one of them has none, the pattern gives no right."""
    return "".join(dict.fromkeys(one + other)) if one and other else ""


class _Template:
    """A room pattern with places in braces, each the name of a claim. Each value of a claim makes a pattern."""

    def __init__(self, text: str) -> None:
        """Raises ValueError where `text` makes no pattern."""
        pieces = _PLACE.split(text)
        self._literals, self._names = pieces[::2], pieces[1::2]
        for name in self._names:
            if not 0 < len(name) <= MAX_NAME:
                raise ValueError(f"{{{name}}} in {text!r} is not the name of a claim; write it as {{sub}}")
        try:
            example = Pattern("x".join(self._literals))
        except ValueError:
            raise ValueError(
                f"{text!r} makes no room pattern; it is a pattern with claims in braces, like 'team.{{groups}}.*'"
            ) from None
        # A dot in a value makes it two segments. Then the value `a.b` in the first place could be `a` with a `b` in the
        # next one, and the rooms of `a` would have those of `a.b` inside.
        self._no_dots = len(self._names) > 1 or example.open_ended

    def patterns(self, fields: Fields) -> Iterator[str]:
        """A pattern for each combination of values. What makes no pattern, such as a value that is too long, is none.

        Raises Refusal where there are too many.
        """
        values = [[text for value in _values(fields, name) if (text := self._text(value))] for name in self._names]
        if prod(map(len, values)) > MOST:
            names = " and ".join(self._names)
            raise bad_token(f"too many values: {names} of the token make more than {MOST} room patterns by [[rights]]")
        for chosen in product(*values):
            pattern = self._literals[0]
            for text, literal in zip(chosen, self._literals[1:], strict=True):
                pattern += escaped(text, first=not pattern) + literal
            try:
                Pattern(pattern)
            except ValueError:
                continue
            yield pattern

    def _text(self, value: Value) -> str:
        """What `value` is in a pattern; empty where it cannot be there."""
        text = "" if isinstance(value, bool) else str(value)
        return "" if self._no_dots and "." in text else text


@dataclass(frozen=True, slots=True)
class _Rule:
    """One table."""

    claim: str | None
    """The claim that decides; None: the table is for every token."""
    wanted: Sequence[Value]
    """The claim must have one of them."""
    rooms: Sequence[tuple[_Template, str]]

    def fits(self, fields: Fields) -> bool:
        if self.claim is None:
            return True
        # True and 1 are equal in Python, and not in JSON.
        seen = {(type(value), value) for value in _values(fields, self.claim)}
        return any((type(value), value) in seen for value in self.wanted)


def _values(fields: Fields, name: str) -> list[Value]:
    """The values of a claim: the texts and whole numbers of a list, the words of a scope, or the one that it is.

    Raises Refusal where the claim cannot be read: its numbers may be out of range, and its texts no UTF-8.
    """
    found = read_claim(fields, name, _anything)
    if isinstance(found, str) and name.rpartition(".")[2] in _SCOPES:
        return list(found.split())
    return [value for value in (found if isinstance(found, list) else [found]) if isinstance(value, str | int)]


def _read(table: Mapping[str, object]) -> _Rule:
    unknown = sorted(table.keys() - {"claim", "has", "rooms"})
    if unknown:
        raise ValueError(f"unknown {', '.join(unknown)} in [[rights]]; a table has claim, has and rooms")
    claim, has, rooms = table.get("claim"), table.get("has"), table.get("rooms")
    if (claim is None) != (has is None):
        raise ValueError(
            "[[rights]] has 'claim' and 'has' together, like claim = \"roles\", has = \"admin\"; without both it is "
            "for every token"
        )
    if claim is not None and not (isinstance(claim, str) and 0 < len(claim) <= MAX_NAME):
        raise ValueError(f"'claim' of [[rights]] is the name of a claim, not {claim!r}")
    listed = has if isinstance(has, list) else [] if has is None else [has]
    wanted = [value for value in listed if isinstance(value, str | int)]
    if has == [] or len(wanted) != len(listed):
        raise ValueError(f"'has' of [[rights]] is a text, a whole number, true, false, or a list of these, not {has!r}")
    if not isinstance(rooms, Mapping) or not rooms or not all(isinstance(letters, str) for letters in rooms.values()):
        raise ValueError(f'\'rooms\' of [[rights]] are letters by pattern, like {{ "chat.*" = "rw" }}, not {rooms!r}')
    for letters in rooms.values():
        parse_rights(letters)
    return _Rule(claim, wanted, [(_Template(pattern), letters) for pattern, letters in rooms.items()])


def parse_claim_rights(tables: object) -> ClaimRights | None:
    """What `[[rights]]` says; None where there is no table. Raises ValueError."""
    found = read_tables("rights", tables)
    return ClaimRights(found) if found else None
