"""Takes binary attachments into JSON as base64, and cuts them out again.

A Socket.IO packet has `{"_placeholder":true,"num":N}` in its JSON for each attachment, which follows as a message of
its own. Other wires and the history have no attachments. So the payload holds base64 strings, and `binary_at` says
where they are: `start:length,…` in bytes, quotes included, in their order.

A stock client closes its connection, or raises an error, when a packet with attachments holds a placeholder that leads
nowhere. So a payload with attachments has no placeholder besides them, however it is spelled. Nor has it an object with
the same field twice, or a number that no double can hold: a Java client drops the text of such a packet, then has no
place for the attachments, and by polling hears nothing more. In a packet without attachments, no client looks for
placeholders.
"""

import binascii
import re
from collections.abc import Sequence
from json import JSONDecoder
from math import isinf
from typing import Final

from forestay.protocol.codes import ErrorCode, Refusal

MOST: Final = 10
"""Attachments of one message: stock clients take no more."""

PLACEHOLDER_BYTES: Final = len('{"_placeholder":true,"num":0}')


def _spelled(word: str) -> str:
    """A regular expression for `word` in a JSON string: each character can be itself or its escape."""
    return "".join(rf"(?:{letter}|\\u00(?i:{ord(letter):02x}))" for letter in word)


# A quote that opens a string never follows a backslash, and a quote inside a string always does. A quote that closes a
# string is followed by none of this. So in valid JSON these match whole keys and whole objects only.
_KEY_TEXT: Final = rf'(?<!\\)"{_spelled("_placeholder")}"\s*+:'
_NUM_TEXT: Final = rf'"{_spelled("num")}"\s*+:\s*+'
_OBJECT: Final = re.compile(
    rf"\{{\s*+{_KEY_TEXT}\s*+true\s*+,\s*+{_NUM_TEXT}(\d{{1,2}}+)\s*+\}}"
    rf"|\{{\s*+{_NUM_TEXT}(\d{{1,2}}+)\s*+,\s*+{_KEY_TEXT}\s*+true\s*+\}}".encode()
)
_KEY: Final = re.compile(_KEY_TEXT.encode())


class _Unreadable(Exception):
    """Some clients cannot read a text. The message says what it has."""


def _check_fields(pairs: Sequence[tuple[str, object]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _Unreadable("an object has the same field twice")


def _check_number(text: str) -> None:
    if isinf(float(text)):
        raise _Unreadable("a number is too large")


_check_values = JSONDecoder(object_pairs_hook=_check_fields, parse_int=_check_number, parse_float=_check_number).decode

_PART: Final = r"[0-9]{1,9}:[0-9]{1,9}"
_PLACES = re.compile(rf"{_PART}(?:,{_PART}){{0,{MOST - 1}}}", re.ASCII).fullmatch
# What stands behind a string that is a key.
_COLON = re.compile(rb"[ \t\r\n]*+:").match


def embed(text: bytes, attachments: Sequence[bytes], max_bytes: int) -> tuple[bytes, str]:
    """`text` with base64 strings in place of its placeholders, and where these strings are. Raises Refusal.

    `text`: valid JSON. `max_bytes`: of all attachments together. Each of them must have exactly one placeholder.
    """
    if not attachments:
        return text, ""
    if len(attachments) > MOST:
        raise _refusal(f"a message has at most {MOST} attachments, and this one has {len(attachments)}")
    size = sum(map(len, attachments))
    if size > max_bytes:
        message = f"the attachments have {size} bytes, and a message has at most {max_bytes}; send smaller ones"
        raise Refusal(ErrorCode.TOO_LARGE, message)
    parts: list[bytes] = []
    places: list[str] = []
    missing = set(range(len(attachments)))
    end = at = 0
    for found in _OBJECT.finditer(text):
        number = int(found[1] or found[2])
        if number not in missing:
            fault = "is there twice" if number < len(attachments) else "has no attachment"
            raise _refusal(f"the placeholder {number} {fault}; each attachment has one placeholder")
        missing.remove(number)
        encoded = b'"%b"' % binascii.b2a_base64(attachments[number], newline=False)
        before = text[end : found.start()]
        parts += before, encoded
        at += len(before)
        places.append(f"{at}:{len(encoded)}")
        at += len(encoded)
        end = found.end()
    if missing:
        raise _refusal(f"attachment {min(missing)} has no placeholder; each attachment has one in the payload")
    parts.append(text[end:])
    unreadable = _fault_of_values(text)
    if unreadable is not None:
        raise _refusal(f"{unreadable}; leave that out of a message with attachments")
    payload = b"".join(parts)
    if has_placeholder(payload):
        raise _refusal('a message with attachments has other objects with "_placeholder"; rename their field')
    return payload, ",".join(places)


def extract(payload: bytes, binary_at: str) -> tuple[bytes, list[bytes]]:
    """`payload` with placeholders in place of the strings at `binary_at`, and the attachments.

    The inverse of `embed`, for what `embed` made or `fault_of_places` found good.
    """
    parts: list[bytes] = []
    attachments: list[bytes] = []
    end = 0
    for start, stop in _spans(binary_at):
        parts += payload[end:start], b'{"_placeholder":true,"num":%d}' % len(attachments)
        attachments.append(binascii.a2b_base64(payload[start + 1 : stop - 1]))
        end = stop
    parts.append(payload[end:])
    return b"".join(parts), attachments


def are_places(text: str) -> bool:
    """Whether `text` has the form of `binary_at`."""
    return _PLACES(text) is not None


def fault_of_places(payload: bytes, binary_at: str) -> str | None:
    """Why `extract` cannot take `payload`, which is valid JSON, apart at `binary_at`; None where it can."""
    end = 0
    for start, stop in _spans(binary_at):
        text = payload[start:stop]
        # Behind a backslash a quote does not open a string.
        opens = start >= end and text[:1] == _QUOTE and payload[max(start - 1, 0) : start] != _BACKSLASH
        if not opens or len(text) < max(2, stop - start) or text[-1:] != _QUOTE or _COLON(payload, stop):
            return "binary_at does not lead to strings in their order"
        try:
            binascii.a2b_base64(text[1:-1], strict_mode=True)
        except binascii.Error:
            return "no base64 at binary_at"
        end = stop
    if has_placeholder(payload):
        return "a placeholder beside those of binary_at"
    return _fault_of_values(payload)


def has_placeholder(payload: bytes) -> bool:
    """Whether an object in `payload`, which is valid JSON, has the field `_placeholder`."""
    # For nearly every payload, these two searches are all.
    return (b"_placeholder" in payload or rb"\u" in payload) and _KEY.search(payload) is not None


def _fault_of_values(text: bytes) -> str | None:
    """What `text`, which is valid JSON, has that some clients cannot read; None where there is nothing."""
    try:
        _check_values(text.decode())
    except _Unreadable as unreadable:
        return str(unreadable)
    except RecursionError:
        return "an array or object nests too deep"
    return None


def growth(binary_at: str) -> int:
    """By how many bytes the payload grows when its strings at `binary_at` become placeholders. It can be negative."""
    return sum(PLACEHOLDER_BYTES - (stop - start) for start, stop in _spans(binary_at))


def _spans(binary_at: str) -> list[tuple[int, int]]:
    """Start and end of each string."""
    pairs = [place.partition(":") for place in binary_at.split(",")] if binary_at else []
    return [(int(start), int(start) + int(length)) for start, _, length in pairs]


def _refusal(message: str) -> Refusal:
    return Refusal(ErrorCode.BAD_MESSAGE, message)


_QUOTE: Final = b'"'
_BACKSLASH: Final = b"\\"
