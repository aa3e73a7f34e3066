"""Makes the TLS context of an address: whom we trust, and our certificate. Files that are renewed are read again."""

import ssl
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Final

from forestay.bus.redis.client.address import Address, parse_address

_KEPT: Final = 16
"""Contexts. A pod has one address, and each renewal of its files makes another context."""

_State = tuple[int, int, int]
"""What changes when a file is written or replaced: its number, its length, and when it was written."""


def usable_address(url: str) -> Address:
    """The address in `url`, with files that can be used. Raises ValueError, which says what is wrong."""
    address = parse_address(url)
    if address.tls:
        tls_context(address)
    return address


def tls_context(address: Address) -> ssl.SSLContext:
    """The context for connections to `address`, made once for each state of its files. Raises ValueError.

    To read the authorities of a system takes up to 50 ms, in which the loop does nothing else.
    """
    system = None if address.ca else ssl.get_default_verify_paths().cafile
    named = {"ca": address.ca, "cert": address.cert, "key": address.key}
    states = (*(_named(option, path) for option, path in named.items()), _state(system))
    return _made(address.ca, address.cert, address.key, states)


def _named(option: str, path: str | None) -> _State | None:
    found = _state(path)
    if path is not None and found is None:
        raise ValueError(f"?{option}= names no file; check the path and the mount")
    return found


def _state(path: str | None) -> _State | None:
    """None where there is no such file."""
    if path is None:
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if S_ISREG(found.st_mode) else None


@lru_cache(_KEPT)
def _made(ca: str | None, cert: str | None, key: str | None, _: tuple[_State | None, ...]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except (ssl.SSLError, OSError):
        raise ValueError("?ca= names a file without certificates in PEM form, or that cannot be read") from None
    if cert is not None:
        try:
            # Without a password OpenSSL would ask for it on the terminal.
            context.load_cert_chain(cert, key, password="")
        except (ssl.SSLError, OSError, ValueError):
            message = "?cert= and ?key= need a certificate and its key, in PEM form and without a password"
            raise ValueError(message) from None
    return context
