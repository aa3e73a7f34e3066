"""Finds `id` and `room` in a text that is not valid JSON, so that its refusal can repeat them.

Only the members of the outermost object count. The time is linear in the length of the text, and bounded.
"""

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
# A text of 64 KiB can consist of brackets. The search gives up after this many tokens, which is half a millisecond.
_MOST_TOKENS: Final = 2048

_decode = msgspec.json.Decoder().decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

# The faults that a library makes which writes JSON without much thought: halves of surrogate pairs, and control
# characters in strings. With something else in their place, the parser can tell where each value ends.
_HALF = re.compile(
    r"\\u[dD](?:[89abAB][\dA-Fa-f]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F][\dA-Fa-f]{2})"
)
_CONTROLS: Final = dict.fromkeys(range(32), " ")


def salvage(text: str) -> dict[str, object]:
    """The values of `id` and `room` in the outermost object of `text`."""
    try:
        repaired = text.translate(_CONTROLS)
        if r"\u" in repaired:
            repaired = _HALF.sub("-", repaired, count=_MOST_TOKENS)
        fields = _decode_fields(repaired)
    except (msgspec.DecodeError, RecursionError):
        return search(text)
    return {name: _unchanged(fields[name], text) for name in ("id", "room") if name in fields}


def decoded(raw: msgspec.Raw | bytes) -> object:
    """The value in `raw`, or INVALID where it is no JSON."""
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


def _unchanged(raw: msgspec.Raw, text: str) -> object:
    """The value in `raw`, or INVALID where `text` has it in another form, because a fault in it was replaced."""
    return decoded(raw) if bytes(raw).decode() in text else INVALID
