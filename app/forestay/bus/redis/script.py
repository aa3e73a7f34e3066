"""A script by its text and the digest that Redis knows it by."""

from dataclasses import dataclass
from hashlib import sha1


@dataclass(frozen=True, slots=True)
class Script:
    text: bytes
    digest: bytes


def script(text: str) -> Script:
    """The script that says `text`."""
    whole = text.encode()
    return Script(whole, sha1(whole, usedforsecurity=False).hexdigest().encode())
