"""Reads the usual request for a WebSocket: one that needs nothing else of HTTP.

It is stricter than any parser: what is unusual in any way is left to aiohttp, which takes it or refuses it. Both must
read the same in what this one takes.
"""

import re
from collections.abc import Container
from typing import Final, NamedTuple

from aiohttp import hdrs
from multidict import CIMultiDict, CIMultiDictProxy

# A request line without a query, and header lines with a name and visible ASCII. No part of it gives back what it took,
# so that no request makes it slow.
_USUAL: Final = re.compile(rb"GET (/[\w.~/-]*+) HTTP/1\.1\r\n((?:[\w!#$%&'*+.^`|~-]++:[ \t!-~]*+\r\n)++)\r\n", re.ASCII)
_FIELD: Final = re.compile(r"([^:]++):[ \t]*+([^\r]*+)\r\n")

# Of these the request has a body, or waits for a word of ours before it.
_OF_A_BODY: Final = frozenset({"content-length", "transfer-encoding", "expect", "trailer"})

_MOST_LINES: Final = 64


class UpgradeRequest(NamedTuple):
    """A request for a WebSocket."""

    path: str
    headers: CIMultiDictProxy[str]


def read(data: bytes, paths: Container[str]) -> UpgradeRequest | None:
    """Read `data` as a request for a WebSocket at one of `paths`; None where it is anything else, or unusual."""
    found = _USUAL.fullmatch(data)
    if found is None:
        return None
    path = found[1].decode("ascii")
    if path not in paths:
        return None
    fields = _FIELD.findall(found[2].decode("ascii"))
    if b" \r\n" in data or b"\t\r\n" in data:
        fields = [(name, value.rstrip(" \t")) for name, value in fields]
    names = {name.lower() for name, _ in fields}
    if len(names) < len(fields) or len(fields) > _MOST_LINES or not names.isdisjoint(_OF_A_BODY):
        return None
    headers: CIMultiDict[str] = CIMultiDict(fields)
    if headers.get(hdrs.UPGRADE, "").lower() != "websocket" or "host" not in names:
        return None
    return UpgradeRequest(path, CIMultiDictProxy(headers))
