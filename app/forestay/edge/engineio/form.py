"""Reads the form of an Engine.IO request, and refuses what no client of the protocol sends."""

from typing import Final

from aiohttp import web

from forestay.edge.engineio.answers import BadRequest
from forestay.edge.handshake.connect_request import TOKEN_PROTOCOL, check_request, check_upgrade, is_question
from forestay.edge.handshake.refused import Refused
from forestay.protocol.engineio.errors import RequestError

_VERSION: Final = "4"


def only(request: web.BaseRequest, name: str) -> str | None:
    """The value of `name` in the query; None where it is missing. Several values are none that is known."""
    values = request.rel_url.query.getall(name, [])
    return None if not values else values[0] if len(values) == 1 else ""


def check_polling(request: web.BaseRequest) -> None:
    """Raises BadRequest unless this may be a request of long polling."""
    if not is_question(request) and request.method == "GET":
        raise BadRequest(RequestError.BAD_REQUEST, "a poll is no WebSocket; the query of one has transport=websocket")
    if "j" in request.rel_url.query:
        raise BadRequest(RequestError.BAD_REQUEST, "JSONP is not served; poll by XMLHttpRequest or fetch")


def check_websocket(request: web.BaseRequest) -> None:
    """Raises BadRequest unless this is a WebSocket handshake."""
    try:
        check_request(request)
        check_upgrade(request)
    except Refused as refused:
        raise BadRequest(RequestError.BAD_REQUEST, str(refused)) from None


def check_opening(request: web.BaseRequest) -> None:
    """Raises BadRequest unless this may open a session."""
    if request.method != "GET":
        raise BadRequest(RequestError.BAD_METHOD, "a session begins with a GET; a POST needs the 'sid' of a session")
    if only(request, "EIO") != _VERSION:
        raise BadRequest(
            RequestError.UNSUPPORTED_VERSION,
            "the query needs EIO=4; use a client of Socket.IO 3 or 4, because those of version 2 speak EIO=3",
        )


def subprotocol(request: web.BaseRequest) -> str | None:
    """The subprotocol to answer with: the first one that the client offers, as other servers of Engine.IO do."""
    for line in request.headers.getall("Sec-WebSocket-Protocol", []):
        for part in line.split(","):
            name = part.strip()
            if name and not name.startswith(TOKEN_PROTOCOL):
                return name
    return None
