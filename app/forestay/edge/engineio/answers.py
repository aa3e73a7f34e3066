"""Writes the HTTP answers of Engine.IO, so that the pages that may connect can read them.

A page with `withCredentials` reads an answer only if it allows credentials. Balancers that route by a cookie need such
pages, so pages that may connect are allowed them. This gives a page nothing: cookies are no identity here. The token
comes in the first packet of a namespace, and the id of a session is a secret that no cookie has.
"""

from typing import Final

from aiohttp import web

from forestay.edge.handshake.cors import preflight, readable
from forestay.protocol.engineio.errors import RequestError, error_body, error_status

_METHODS: Final = "GET, POST"
_HEADERS: Final = "Authorization, Content-Type"

# Characters of the list of headers that a page asks for. Clients may be given headers of their own.
_LONGEST_LIST: Final = 1024


class BadRequest(Exception):
    """A request that is refused with a code of Engine.IO."""

    def __init__(self, error: RequestError, detail: str) -> None:
        super().__init__(detail)
        self.error = error


def payload(request: web.BaseRequest, body: bytes) -> web.Response:
    """The answer to a poll."""
    return allowed(request, web.Response(body=body, content_type="text/plain", charset="UTF-8"))


def taken(request: web.BaseRequest) -> web.Response:
    """The answer to a POST whose packets were taken."""
    return allowed(request, web.Response(body=b"ok", content_type="text/html"))


def refused(request: web.BaseRequest, bad: BadRequest, status: int | None = None) -> web.Response:
    """The answer to a refused request. A page that may not connect can read it too. `status`: not the usual one."""
    body = error_body(bad.error, str(bad))
    response = web.Response(status=status or error_status(bad.error), body=body, content_type="application/json")
    readable(request, response)
    return response


def options(request: web.BaseRequest, *, may_connect: bool) -> web.Response:
    """The answer to OPTIONS."""
    response = preflight(request)
    if "Access-Control-Allow-Origin" in response.headers:
        wanted = request.headers.get("Access-Control-Request-Headers", "")
        plain = 0 < len(wanted) <= _LONGEST_LIST and wanted.isascii() and wanted.isprintable()
        response.headers["Access-Control-Allow-Methods"] = _METHODS
        response.headers["Access-Control-Allow-Headers"] = wanted if plain else _HEADERS
        if may_connect:
            response.headers["Access-Control-Allow-Credentials"] = "true"
    response.headers["Allow"] = f"{_METHODS}, OPTIONS"
    return response


def allowed(request: web.BaseRequest, response: web.Response) -> web.Response:
    """`response`, which the page that sent `request` can read. For a page that may connect."""
    readable(request, response)
    if "Access-Control-Allow-Origin" in response.headers:
        response.headers["Access-Control-Allow-Credentials"] = "true"
    return response
