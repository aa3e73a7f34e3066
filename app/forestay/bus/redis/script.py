"""A Lua script: its text, and the digest by which Redis knows it."""

from dataclasses import dataclass
from hashlib import sha1


@dataclass(frozen=True, slots=True)
class Script:
    text: bytes
    digest: bytes


def script(text: str) -> Script:
    """The script with the source `text`."""
    source = text.encode()
    return Script(source, sha1(source, usedforsecurity=False).hexdigest().encode())
