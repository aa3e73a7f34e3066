"""Decides which web pages may connect, by their origin.

Where no origins are listed, only pages of the gateway's own host may connect. An origin is compared whole: scheme, host
and port, after case and default ports are made equal. It is never compared by suffix or substring.
`https://*.example.com` stands for any host with one or more labels before `example.com`. Origins of apps and browser
extensions (`capacitor://localhost`, `chrome-extension://…`, `file://`, and `null`) connect only where they are listed.

In development the pages of this machine may connect too, on whatever port their own server has. This is no entry of the
list, so that no gateway can have it outside of development.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs
from multidict import CIMultiDictProxy

from forestay.edge.loopback import is_loopback
from forestay.edge.quoted import quoted

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}

# Characters of the list of the allowed origins that a sentence repeats.
_LISTED: Final = 300

# More of a name around an IPv6 address in brackets, where urlsplit would take the address for the host.
_AROUND_ADDRESS: Final = re.compile(r"[^/]\[|\[[^]]*[^]0-9A-Fa-f:.]|\][^:]")

_NULL: Final = "null"
_WITHOUT_HOST: Final = "file://"

_Origin = tuple[str, str, int | None]
"""Scheme, host and port. Schemes that are not of the web have no port unless the origin names one."""


class Origins:
    """The origins that may connect."""

    def __init__(self, allowed: Sequence[str], *, loopback: bool = False) -> None:
        """`allowed`: `scheme://host[:port]`, `file://`, `null`, or `*` for any page. Raises ValueError for other text.

        `*.` may begin the host of a web page. `loopback`: the pages of this machine may connect besides.
        """
        self._loopback = loopback
        self._listed = tuple(allowed)
        self._any = "*" in allowed
        self._exact: set[_Origin] = set()
        self._below: set[_Origin] = set()
        for text in allowed:
            if text == "*":
                continue
            parsed = _parse(text)
            if parsed is None:
                raise ValueError(
                    f"{text!r} is not an origin; write it as scheme://host or scheme://host:port, in ASCII and without "
                    "a path"
                )
            scheme, host, port = parsed
            if host.startswith("*.") and "*" not in host[1:] and scheme in _DEFAULT_PORTS:
                self._below.add((scheme, host[1:], port))
            elif "*" in host:
                raise ValueError(
                    f"'*' in {text!r} is not the first label of a web page's host; write it like https://*.example.com"
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
        return self._listed_or_ours(parsed, host) or (self._loopback and _of_this_machine(parsed))

    def _listed_or_ours(self, parsed: _Origin, host: str) -> bool:
        if not self._exact and not self._below:
            return _same_host(parsed, host)
        scheme, name, port = parsed
        return parsed in self._exact or any(
            (scheme, port) == (s, p) and name.endswith(suffix) and len(name) > len(suffix)
            for s, suffix, p in self._below
        )

    def refusal(self, origins: Sequence[str], host: str) -> str:
        """Say why a request may not connect: what it sent, what is allowed, and the setting. For one that may not."""
        seen = f"Origin {quoted(origins[0])}" if len(origins) == 1 else f"{len(origins)} Origin headers instead of one"
        if self._any:
            allowed = "one Origin of any page"
        elif self._listed:
            allowed = self._list()
        else:
            allowed = f"pages of the same host, {quoted(host)}"
        if self._loopback:
            allowed += ", and in development the pages of this machine, such as http://localhost:5173"
        return (
            f"the request has {seen}; this gateway allows {allowed}; "
            "the operator lists the pages that may connect in FORESTAY_ALLOWED_ORIGINS"
        )

    def _list(self) -> str:
        text = ""
        for index, origin in enumerate(self._listed):
            if index and len(text) + len(origin) > _LISTED:
                return f"{text} and {len(self._listed) - index} more"
            text = f"{text}, {origin}" if index else origin
        return text


def of_page(headers: CIMultiDictProxy[str]) -> Sequence[str]:
    """The origins that a request has: its Origin headers that are not empty, else that of a page of the same host.

    A browser sends no Origin with the plain GET of such a page, but it sends one with the page's handshake. Without
    this the answer to the GET would be that the handshake is allowed, also where it is not.
    """
    # An empty Origin names no page. Proxies and some clients send one, browsers never.
    origins = [origin for origin in headers.getall(hdrs.ORIGIN, []) if origin]
    if origins:
        return origins
    referrer = headers.get(hdrs.REFERER, "")
    if not referrer or headers.get("Sec-Fetch-Site") != "same-origin":
        return []
    try:
        parts = urlsplit(referrer)
    except ValueError:
        return []
    return [f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"] if parts.scheme and parts.netloc else []


def _parse(origin: str) -> _Origin | None:
    if origin == _NULL:
        return (_NULL, "", None)
    # urlsplit drops tabs and line ends, and leading spaces.
    if not origin.isascii() or not origin.isprintable() or " " in origin or _AROUND_ADDRESS.search(origin):
        return None
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc or origin.endswith(("?", "#")):
        return None
    if not parts.hostname:
        return ("file", "", None) if origin.lower() == _WITHOUT_HOST else None
    return (parts.scheme, parts.hostname, port if port is not None else _DEFAULT_PORTS.get(parts.scheme))


def _of_this_machine(origin: _Origin) -> bool:
    """Whether the host of a page is a name or an address of the loopback, which no other machine can have."""
    scheme, name, _ = origin
    # RFC 6761 §6.3: names that end with `.localhost` are the loopback, too.
    return scheme in ("http", "https") and (name.endswith(".localhost") or is_loopback(name))


def _same_host(origin: _Origin, host: str) -> bool:
    scheme, name, port = origin
    if scheme not in _DEFAULT_PORTS:
        return False
    ours = _parse(f"{scheme}://{host}")
    return ours is not None and ours[1:] == (name, port)
