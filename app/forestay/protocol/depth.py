"""Limits how deeply JSON may nest.

Parsers recurse, and interpreters differ in how deep they let them: one refuses what another accepts. So the limit is
ours, and it is checked before any parser sees the text.
"""

import re
from itertools import accumulate
from typing import Final

MAX_DEPTH: Final = 64
"""Nested arrays and objects in JSON whose form is fixed: tokens, key sets, what pods and the cluster's API say.

The deepest of these forms nests about ten levels. What clients and backends send has a limit of its own, the setting
`JSON_DEPTH`.
"""

# A string to its end, or to the end of the text. Possessive and always matching, so no character is scanned twice.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_OPENING, _CLOSING = b"[", b"]"
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
# Brackets that are counted together. Only where they could nest too deep is each of them looked at.
_BLOCK = 256


def deeper_than(text: str | bytes, limit: int) -> bool:
    """Whether the brackets of `text` nest deeper than `limit`. Whether they match is left to the parser.

    Bytes are UTF-8, valid or not. The time is linear in the length of the text.
    """
    # The depth is at most the length, and at most the number of opening brackets. That decides for nearly every text.
    if len(text) <= limit:
        return False
    if isinstance(text, bytes):
        if text.count(b"[") + text.count(b"{") <= limit:
            return False
    elif text.count("[") + text.count("{") <= limit:
        return False
    else:
        text = text.encode(errors="replace")
    # In UTF-8 a byte that looks like a bracket, a quote or a backslash is one.
    brackets = _STRINGS.sub(b"", text).translate(_ONE_KIND, _NO_BRACKETS)
    depth = 0
    for start in range(0, len(brackets), _BLOCK):
        block = brackets[start : start + _BLOCK]
        opening = block.count(_OPENING)
        if depth + opening > limit and max(accumulate(map(_STEPS.__getitem__, block), initial=depth)) > limit:
            return True
        depth += 2 * opening - len(block)
    return False


_STEPS = {_OPENING[0]: 1, _CLOSING[0]: -1}
