"""Reads what a client offers for permessage-deflate, and decides what is agreed on.

Neither side ever keeps a context between messages. A server may demand that of a client that has not offered it (RFC
7692 §7.1.1.2). So a connection costs no memory for it, and the bytes of one message serve all members of a room.
"""

import re
from dataclasses import dataclass
from typing import Final

NAME: Final = "permessage-deflate"

WINDOWS: Final = (15, 12, 9)
"""Bits of the windows with which messages are deflated. A client that asks for another gets the next smaller one.

Each is one more encoding of each message to a room whose members have it, so there are few.
"""

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# One part of the header: a name, perhaps with a value, and what follows it.
_PART: Final = re.compile(rf'[ \t]*({_TOKEN})[ \t]*(?:=[ \t]*({_TOKEN}|"(?:[^"\\]|\\.)*")[ \t]*)?(;|,|$)')
_EMPTY: Final = re.compile(r"[ \t]*(,|$)")
_ESCAPED: Final = re.compile(r"\\(.)")
_BITS: Final = {str(bits): bits for bits in range(8, 16)}


@dataclass(frozen=True, slots=True)
class Agreement:
    """That messages may be deflated."""

    window: int
    """Bits of the window with which messages for the client are deflated, one of WINDOWS."""
    answer: str
    """The value of `Sec-WebSocket-Extensions` in the response."""


def agree(header: str) -> Agreement | None:
    """What is agreed on with a client that sent this `Sec-WebSocket-Extensions`; None where nothing is.

    The first offer that can be met is taken. Raises ValueError where `header` does not have the form of RFC 6455 §9.1.
    """
    for extension in _extensions(header):
        if extension[0] == (NAME, None):
            agreement = _meet(extension[1:])
            if agreement is not None:
                return agreement
    return None


def _extensions(header: str) -> list[list[tuple[str, str | None]]]:
    """The extensions in `header`, each with its name first, then its parameters. Raises ValueError."""
    found: list[list[tuple[str, str | None]]] = []
    at, size, within = 0, len(header), False
    while at < size:
        empty = None if within else _EMPTY.match(header, at)
        if empty is not None:
            at = empty.end()
            continue
        part = _PART.match(header, at)
        if part is None or (part[2] is not None and not within):
            raise ValueError(f"at character {at + 1}")
        if not within:
            found.append([])
        found[-1].append((part[1], _unquoted(part[2])))
        at, within = part.end(), part[3] == ";"
    if within:
        raise ValueError("at its end")
    return found


def _unquoted(value: str | None) -> str | None:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value is not None and value[0] == '"' else value


def _meet(parameters: list[tuple[str, str | None]]) -> Agreement | None:
    """The answer to one offer; None where RFC 7692 §7.1 has it declined."""
    asked = dict(parameters)
    if len(asked) < len(parameters):
        return None
    answer = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
    window = WINDOWS[0]
    for name, value in parameters:
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
        elif name == "client_max_window_bits":
            # We inflate with the largest window, whatever the client uses.
            if value is not None and value not in _BITS:
                return None
        elif name == "server_max_window_bits":
            most = _BITS.get(value or "", 0)
            fitting = [bits for bits in WINDOWS if bits <= most]
            if not fitting:
                # zlib has no window of 8 bits.
                return None
            window = fitting[0]
            answer += f"; server_max_window_bits={window}"
        else:
            return None
    return Agreement(window, answer)
