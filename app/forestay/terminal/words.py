"""Words errors for a terminal, without tokens, passwords and control characters."""

import json
import os
import re
from typing import Final
from urllib.parse import urlsplit

_STRANGE: Final = re.compile(r"[^\x21-\x7e]")
_FAILURES: Final = 500
"""The first HTTP status that a gateway, or a proxy in front of it, may give without a problem document."""
_LONGEST: Final = 500
"""Characters of a sentence that another program wrote."""


def shown(url: str) -> str:
    """The address as an error may show it: without the user, the password and the query, which may hold a token."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "this address"
    if not parts.scheme or not parts.hostname:
        return "this address"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return printable(f"{parts.scheme}://{host}{port}{parts.path}")


def usable(token: str) -> str:
    """The token without white space around it. Raises ValueError, without the token, if a header cannot hold it."""
    stripped = token.strip()
    if not stripped:
        raise ValueError("the token is empty")
    if strange := _STRANGE.search(stripped):
        raise ValueError(
            "the token contains white space, a control character or a character outside ASCII "
            f"(character {strange.start() + 1} of {len(stripped)})"
        )
    return stripped


def refusal(status: int, body: bytes) -> str:
    """Says how a handshake was refused: the status, and the code and the detail of a gateway's problem document."""
    try:
        problem = json.loads(body)
        parts = [str(problem[name]) for name in ("code", "detail") if problem.get(name)]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        parts = []
    if not parts and status < _FAILURES:
        return f"what answers there with {status} is not the public port of a gateway; its path is usually /ws"
    return printable(": ".join([f"the gateway answered the handshake with {status}", *parts])[:_LONGEST])


def system_words(error: OSError) -> str:
    """What the system says of its error; empty where it has no number of the system, as for an unknown name.

    The text of the error itself may quote an address, or be a line for programmers.
    """
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else ""


def printable(text: str) -> str:
    """Escapes control characters, because a terminal would obey them."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
