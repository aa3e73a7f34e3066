"""Lets web pages read the answers at the path of the WebSocket, so that a client can tell why it may not connect.

A browser hides the answer to a refused handshake. So a client asks the same path by a plain GET. The page can read that
answer only if it names the page's origin. It names every origin, also one that may not connect: otherwise the client
could not report the 403, which is what its developer must read. That gives such a page no power. The origin is checked
before the token, so the answer to it never depends on a token. Cookies are not allowed in the request, and are no
identity here. The answer says nothing that a request without a browser would not get.
"""

from typing import Final

from aiohttp import web

# A longer Origin is not repeated. Names of hosts have at most 253 characters.
_LONGEST_ORIGIN: Final = 300

# Seconds for which a browser remembers the answer to a preflight.
_MAX_AGE: Final = "600"

_METHODS: Final = "GET, OPTIONS"


def readable(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Let the page that sent `request` read `response`. No cache keeps it: it holds for this moment and this caller."""
    headers = response.headers
    headers["Cache-Control"] = "no-store"
    headers["Vary"] = "Origin"
    origins = request.headers.getall("Origin", [])
    if len(origins) == 1 and _repeatable(origins[0]):
        headers["Access-Control-Allow-Origin"] = origins[0]
        headers["Access-Control-Expose-Headers"] = "Retry-After"


def preflight(request: web.BaseRequest) -> web.Response:
    """The answer to OPTIONS: a page may send a GET with an `Authorization` header."""
    response = web.Response(status=204, headers={"Allow": _METHODS})
    readable(request, response)
    if "Access-Control-Allow-Origin" in response.headers:
        response.headers["Access-Control-Allow-Methods"] = "GET"
        response.headers["Access-Control-Allow-Headers"] = "Authorization"
        response.headers["Access-Control-Max-Age"] = _MAX_AGE
    return response


def _repeatable(origin: str) -> bool:
    return 0 < len(origin) <= _LONGEST_ORIGIN and origin.isascii() and origin.isprintable()
