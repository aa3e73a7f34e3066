"""Finds `id` and `room` in a text that is not valid JSON, so that its refusal can repeat them.

Only the members of the outermost object count. The time is linear in the length of the text, and bounded.
"""

import re
from typing import Final

from msgspec import Raw

_SALVAGED: Final = frozenset({'"id"', '"room"'})
# A string to its end, a run of brackets, a colon, or a number or word. All quantifiers are possessive, so no character
# is scanned twice. What lies between is skipped.
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[{]++|[\]}]++|:|[^\s"\[\]{}:,]++', re.DOTALL)
# A text of 64 KiB can consist of brackets. The search gives up after this many tokens, which is a few milliseconds.
_MOST_TOKENS: Final = 16_384


def salvage(text: str) -> dict[str, Raw]:
    """The values of `id` and `room` in the outermost object of `text`, as they are written there."""
    found: dict[str, Raw] = {}
    depth, key, value_follows = 0, "", False
    for count, match in enumerate(_TOKENS.finditer(text)):
        token = match[0]
        first = token[0]
        if first in "[{":
            if depth == 1 and value_follows:
                found[key[1:-1]] = Raw(b"[]" if first == "[" else b"{}")
            depth += len(token)
            value_follows = False
        elif first in "]}":
            depth -= len(token)
            value_follows = False
        elif depth == 1:
            if first == ":":
                value_follows = key in _SALVAGED
            else:
                if value_follows:
                    found[key[1:-1]] = Raw(token.encode())
                key, value_follows = ("" if value_follows else token), False
        if count >= _MOST_TOKENS or (depth <= 0 and count):
            break
    return found
