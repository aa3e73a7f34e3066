"""Reads where the receiver of signed requests is, and how its certificate is checked."""

import ssl
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Receiver:
    """One address of the application, as the operator sets it. It may be any that pods reach."""

    url: str
    keys: tuple[bytes, ...]
    """Sign each request; the first one is the current one."""
    timeout: float
    """Seconds for one request."""
    ca: Path | None = None
    """A PEM file with the only authorities that are trusted."""


def receiver_id(url: str) -> str:
    """Stands for the address `url` where it must not be shown."""
    return sha256(url.encode()).hexdigest()[:16]


def check_address(url: str) -> str:
    """`url`, if signed requests can be sent there. Raises ValueError, which does not repeat it."""
    form = "write it like https://app.example/forestay"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"not an address; {form}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"not an http or https address; {form}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address has a user or a password; leave them out: the receiver checks the signature")
    if parts.fragment or not url.isascii() or any(character.isspace() for character in url):
        raise ValueError(f"the address has a fragment, a space or a character that is not ASCII; {form}")
    return url


def trust(ca: Path | None) -> ssl.SSLContext:
    """What the certificate of the receiver is checked against. Raises ValueError."""
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except ssl.SSLError:
        raise ValueError(f"{ca} has no certificate in PEM; give the file of the authority") from None
    except OSError as error:
        raise ValueError(f"cannot read {ca}: {error.strerror}; check the path and the mount") from None
