"""Recognises JSON that was sent as a binary message by mistake.

Some WebSocket libraries send text as binary frames unless they are told otherwise. The first four bytes of the JSON
would then be taken for a type, and the rest, a token perhaps, would go to the members of a room.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from typing import Final

import msgspec
from msgspec import Raw

from forestay.protocol.depth import MAX_DEPTH, deeper_than

# What JSON can begin with: a bracket, white space or a byte order mark.
_FIRST: Final = frozenset(b"{[ \t\r\n" + BOM_UTF8[:1] + BOM_UTF16_BE[:1] + BOM_UTF16_LE[:1])
_WHITE: Final = b" \t\r\n"
# Escapes of lone surrogates are JSON, which many libraries write and our parser does not read. Which character stands
# in a string does not matter here.
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_decode = msgspec.json.Decoder(Raw).decode


def is_json(data: bytes) -> bool:
    """Whether `data` as a whole is a JSON object or array, in UTF-8 or UTF-16."""
    # For nearly every binary message, this is all. A small type has zeros at the start, as UTF-16 with its high byte
    # first has.
    if data[0] not in _FIRST and (data[0] or data[1] not in _FIRST):
        return False
    text = _as_utf8(data).strip(_WHITE)
    if text[:1] not in (b"{", b"["):
        return False
    # Deep nesting is refused before any parser sees it. Nothing but JSON nests so deep behind such a start.
    if text[1:].lstrip(_WHITE)[:1] not in _SECOND[text[:1]]:
        return False
    if deeper_than(text, MAX_DEPTH):
        return True
    try:
        _decode(_SURROGATE.sub(rb"\\u0020", text))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


_VALUES: Final = tuple(bytes([byte]) for byte in b'"[{]-0123456789tfn')
_SECOND: Final = {b"{": (b'"', b"}"), b"[": _VALUES}


def _as_utf8(data: bytes) -> bytes:
    """`data` without its byte order mark, and in UTF-8 where it is UTF-16."""
    if data.startswith((BOM_UTF16_BE, BOM_UTF16_LE)):
        encoding = "utf-16"
    elif not data[0]:
        encoding = "utf-16-be"
    elif not data[1]:
        encoding = "utf-16-le"
    else:
        return data.removeprefix(BOM_UTF8)
    try:
        return data.decode(encoding).lstrip("\ufeff").encode()
    except UnicodeError:
        return b""
