"""Finds `id` and `room` in a text that is not valid JSON, so that its refusal can repeat them.

Only the members of the outermost object count. The time is linear in the length of the text, and bounded.
"""

import json
import re
from typing import Final

import msgspec

INVALID: Final = object()
"""Stands for a value that is there, and is not valid JSON."""

_WANTED: Final = frozenset({'"id"', '"room"'})
# To its end, or to the end of the text: always matching, so no character is scanned twice.
_STRING: Final = r'"(?:[^"\\]++|\\.)*+("?)'
# Among the members of the outermost object: a string, a run of brackets, a colon, or a number or word. Further inside,
# strings and brackets only. All quantifiers are possessive.
_MEMBERS = re.compile(_STRING + r'|[\[{]++|[\]}]++|:|[^\s"\[\]{}:,]++', re.DOTALL)
_INSIDE = re.compile(_STRING + r"|[\[{]++|[\]}]++", re.DOTALL)
# A text of 64 KiB can consist of brackets. The search gives up after this many tokens, which is about a millisecond.
_MOST_TOKENS: Final = 4096

_decode = msgspec.json.Decoder().decode
# Numbers are not needed, and long ones take long to read.
_forgiving = json.JSONDecoder(strict=False, parse_int=len, parse_float=len).decode


def salvage(text: str) -> dict[str, object]:
    """The values of `id` and `room` in the outermost object of `text`."""
    try:
        # Python's own parser accepts lone surrogates, line breaks in strings, and NaN, and it is fast.
        fields = _forgiving(text)
    except (ValueError, RecursionError):
        return search(text)
    return (
        {name: _checked(fields[name]) for name in ("id", "room") if name in fields} if isinstance(fields, dict) else {}
    )


def decoded(raw: msgspec.Raw | bytes) -> object:
    """The value in `raw`, or INVALID."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return INVALID


def search(text: str) -> dict[str, object]:
    """The same without a parser, as far as the text can be followed."""
    found: dict[str, object] = {}
    depth, key, value_follows, at = 0, "", False, 0
    for _ in range(_MOST_TOKENS):
        match = (_MEMBERS if depth < 2 else _INSIDE).search(text, at)
        # A string without its end is the last token, and no value.
        if match is None or match[1] == "":
            break
        token, at = match[0], match.end()
        first = token[0]
        if first in "[{":
            if depth == 1 and value_follows:
                found[key[1:-1]] = [] if first == "[" else {}
            depth += len(token)
            value_follows = False
        elif first in "]}":
            depth -= len(token)
            if depth <= 0:
                break
        elif depth != 1:
            pass
        elif first == ":":
            value_follows = key in _WANTED
        else:
            if value_follows:
                found[key[1:-1]] = decoded(token.encode(errors="replace"))
            key, value_follows = ("" if value_follows else token), False
    return found


def _checked(value: object) -> object:
    """`value`, or INVALID where it is a string with half of a surrogate pair."""
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeEncodeError:
        return INVALID
    return value
