"""Lets web pages read the answers of the public port, so that a client can tell why it may not connect.

A browser hides the answer to a refused handshake. So a client asks the same path by a plain GET. The page can read that
answer only if it names the page's origin. It names every origin, also one that may not connect: otherwise the client
could not report the 403, which is what its developer must read. That gives such a page no power. The origin is checked
before the token, so the answer to it never depends on a token. Cookies are not allowed in the request, and are no
identity here. The answer says nothing that a request without a browser would not get.

A page that asks at a wrong path must read the 404 too: otherwise a client takes this mistake for a lost network.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from forestay.edge import problems
from forestay.protocol.codes import ErrorCode, Refusal

# A longer Origin is not repeated. Names of hosts have at most 253 characters.
_LONGEST_ORIGIN: Final = 300

# Seconds for which a browser remembers the answer to a preflight.
_MAX_AGE: Final = "600"

# What pages send besides what every page may send: tokens, JSON, keys, the last event of a stream, and traces.
_HEADERS: Final = "Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, traceparent, tracestate"


def readable(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Let the page that sent `request` read `response`. No cache keeps it: it holds for this moment and this caller."""
    headers = response.headers
    headers["Cache-Control"] = "no-store"
    headers["Vary"] = "Origin"
    origins = request.headers.getall("Origin", [])
    if len(origins) == 1 and _repeatable(origins[0]):
        headers["Access-Control-Allow-Origin"] = origins[0]
        headers["Access-Control-Expose-Headers"] = "Retry-After"


def preflight(request: web.BaseRequest, methods: Sequence[str] = ("GET",)) -> web.Response:
    """The answer to OPTIONS: a page may send a request of `methods` with these headers."""
    response = web.Response(status=204, headers={"Allow": ", ".join((*methods, "OPTIONS"))})
    readable(request, response)
    if "Access-Control-Allow-Origin" in response.headers:
        response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
        response.headers["Access-Control-Allow-Headers"] = _HEADERS
        response.headers["Access-Control-Max-Age"] = _MAX_AGE
    return response


def other_method(request: web.BaseRequest, methods: Sequence[str]) -> web.Response:
    """The answer to a method that the path does not have."""
    response = problems.other_method(", ".join((*methods, "OPTIONS")))
    readable(request, response)
    return response


def elsewhere(path: str, off: Mapping[str, str]) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """Returns the handler of every path where nothing is. Its answer names `path`, where clients connect.

    `off`: what is said of the paths that could be there, by where they begin.
    """
    nothing = f"there is nothing at this path; clients connect to {path}"

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return preflight(request)
        asked = request.rel_url.path
        said = next((off[start] for start in off if asked == start or asked.startswith(f"{start}/")), nothing)
        response = problems.problem(Refusal(ErrorCode.NOT_FOUND, said))
        readable(request, response)
        return response

    return answer


def _repeatable(origin: str) -> bool:
    return 0 < len(origin) <= _LONGEST_ORIGIN and origin.isascii() and origin.isprintable()
