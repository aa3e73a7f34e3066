"""Decides which web pages may connect, by their origin.

Where no origins are listed, only pages of the gateway's own host may connect. An origin is compared whole: scheme, host
and port, after case and default ports are made equal. It is never compared by suffix or substring.
`https://*.example.com` stands for any host with one or more labels before `example.com`.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Origins:
    """The origins that may connect."""

    def __init__(self, allowed: Sequence[str]) -> None:
        """`allowed`: `scheme://host[:port]`, or `*` for any page. Raises ValueError for any other text."""
        self._any = "*" in allowed
        self._exact: set[tuple[str, str, int]] = set()
        self._below: set[tuple[str, str, int]] = set()
        for text in allowed:
            if text == "*":
                continue
            parsed = _parse(text)
            if parsed is None:
                raise ValueError(f"{text!r} is not an origin; write it as scheme://host or scheme://host:port")
            scheme, host, port = parsed
            if host.startswith("*."):
                self._below.add((scheme, host[1:], port))
            elif "*" in host:
                raise ValueError(
                    f"'*' in {text!r} is not the first label of the host; write it like https://*.example.com"
                )
            else:
                self._exact.add(parsed)

    def allow(self, origins: Sequence[str], host: str) -> bool:
        """Whether a request may connect. `origins`: its Origin headers. `host`: its Host header.

        A request without an Origin does not come from a page, and may connect. A request with two may not: browsers
        send one.
        """
        if not origins:
            return True
        if len(origins) > 1:
            return False
        if self._any:
            return True
        parsed = _parse(origins[0])
        if parsed is None or "*" in parsed[1]:
            return False
        if not self._exact and not self._below:
            return _same_host(parsed, host)
        scheme, name, port = parsed
        return parsed in self._exact or any(
            (scheme, port) == (s, p) and name.endswith(suffix) and len(name) > len(suffix)
            for s, suffix, p in self._below
        )


def _parse(origin: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    number = port if port is not None else _DEFAULT_PORTS.get(parts.scheme)
    return None if number is None else (parts.scheme, parts.hostname, number)


def _same_host(origin: tuple[str, str, int], host: str) -> bool:
    scheme, name, port = origin
    ours = _parse(f"{scheme}://{host}")
    return ours is not None and ours[1:] == (name, port)
