"""Reads a request to connect: whether it has the form of a WebSocket handshake, and which token it carries."""

import base64
import binascii
from typing import Final

from aiohttp import hdrs, web

from forestay.core.ports.verifier import Ticket, TicketUse
from forestay.edge.handshake.admission import QUERY_NAMES
from forestay.edge.handshake.refused import Refused
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.deflate.agreement import Agreement, agree
from forestay.protocol.names import PROTOCOL

TOKEN_PROTOCOL: Final = "base64url.bearer.forestay."
"""How a browser passes its token: a subprotocol of this prefix and the token in unpadded base64url.

It is offered beside the real subprotocol.
"""

# The ways to send a token. URLs are logged, so that way comes last; the operator can close it.
_HEADER: Final = "send one as 'Authorization: Bearer <token>'"
_PROTOCOL: Final = f"as the subprotocol '{TOKEN_PROTOCOL}<token in base64url>' beside '{PROTOCOL}'"
_TICKET: Final = "as '?ticket=' with a ticket from POST /tickets"
_QUERY: Final = f"as '?{QUERY_NAMES[0]}=', where the operator allows that"

_NO_HANDSHAKE: Final = "a WebSocket handshake is a GET request of HTTP/1.1; use a WebSocket client, also behind proxies"


def is_question(request: web.BaseRequest) -> bool:
    """Whether this is a plain GET, which asks if a handshake would succeed.

    A request with a header that only handshakes have is a handshake: a proxy may have removed the others.
    """
    headers = request.headers
    return (
        request.method == "GET"
        and "websocket" not in headers.get(hdrs.UPGRADE, "").lower()
        and hdrs.SEC_WEBSOCKET_KEY not in headers
        and hdrs.SEC_WEBSOCKET_VERSION not in headers
    )


def check_request(request: web.BaseRequest) -> None:
    """Raises Refused unless this is a GET without a body."""
    if request.method != "GET":
        raise _malformed(_NO_HANDSHAKE)
    if request.body_exists:
        raise _malformed("the request has a body; send the WebSocket handshake without one")


def check_upgrade(request: web.BaseRequest) -> None:
    """Raises Refused unless this is a WebSocket upgrade of version 13 (RFC 6455 §4.2.1)."""
    if request.version < (1, 1):
        raise _malformed(_NO_HANDSHAKE)
    headers = request.headers
    if headers.get(hdrs.UPGRADE, "").strip().lower() != "websocket":
        raise _malformed(
            "not a WebSocket request: the header 'Upgrade: websocket' is missing; use a WebSocket client, and let "
            "proxies pass this header on"
        )
    named = headers.get(hdrs.CONNECTION, "").lower()
    if named != "upgrade" and "upgrade" not in [part.strip() for part in named.split(",")]:
        raise _malformed(
            "not a WebSocket request: the header 'Connection: Upgrade' is missing; a proxy may have removed it"
        )
    if headers.get(hdrs.SEC_WEBSOCKET_VERSION) != "13":
        raise _malformed("the WebSocket version is not supported; send 'Sec-WebSocket-Version: 13'")
    if not _is_key(headers.get(hdrs.SEC_WEBSOCKET_KEY, "")):
        raise _malformed("'Sec-WebSocket-Key' is missing or malformed; send 16 random bytes in base64")


def offered(request: web.BaseRequest, *, query_token: bool) -> tuple[str | None, str | None]:
    """The subprotocol to answer with and the caller's token, each None where the request has none. Raises Refused."""
    tokens = carried(request, query_token=query_token)
    lines = request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, [])
    parts = [part for line in lines for part in (piece.strip() for piece in line.split(",")) if part]
    if parts and PROTOCOL not in parts:
        raise _malformed(f"none of the offered subprotocols is supported; offer {PROTOCOL}, or none")
    for part in parts:
        if part.startswith(TOKEN_PROTOCOL) and part != TOKEN_PROTOCOL:
            tokens.add(_from_base64url(part[len(TOKEN_PROTOCOL) :]))
    if len(tokens) > 1:
        raise Refused(400, Refusal(ErrorCode.BAD_TOKEN, "the request has two different tokens; send one"))
    return (PROTOCOL if parts else None), next(iter(tokens), None)


def compression(request: web.BaseRequest) -> Agreement | None:
    """What is agreed on with a client that offers compression; None where nothing is. Raises Refused."""
    lines = request.headers.getall(hdrs.SEC_WEBSOCKET_EXTENSIONS, [])
    try:
        return agree(", ".join(lines))
    except ValueError as error:
        raise _malformed(f"'Sec-WebSocket-Extensions' is malformed {error}; use a WebSocket client") from None


def carried(request: web.BaseRequest, *, query_token: bool) -> set[str]:
    """The different tokens in the `Authorization` header and, with `query_token`, in the URL. An empty one is none."""
    tokens = set()
    for line in request.headers.getall(hdrs.AUTHORIZATION, []):
        scheme, _, credentials = line.partition(" ")
        if scheme.lower() == "bearer":
            tokens.add(credentials.strip())
    if query_token:
        tokens |= {value for name in QUERY_NAMES for value in request.rel_url.query.getall(name, [])}
    tokens.discard("")
    return tokens


def ticket_in(request: web.BaseRequest) -> str | None:
    """The ticket in the URL of `request`; None where there is none."""
    return request.rel_url.query.get("ticket")


def present(
    request: web.BaseRequest, token: str | None, use: TicketUse = TicketUse.CONNECT, secret: str = ""
) -> str | Ticket:
    """What shows who sent `request`: its `token`, or its ticket for this use. Raises Refused unless there is one."""
    ticket = ticket_in(request)
    if ticket is not None and token is not None:
        raise Refused(400, Refusal(ErrorCode.BAD_TOKEN, "the request has a token and a ticket; send one of them"))
    if ticket is not None:
        return Ticket(ticket, use, secret)
    if token is None:
        opens = hdrs.SEC_WEBSOCKET_KEY in request.headers or use is TicketUse.LOOK
        raise without_token(request, *([_PROTOCOL] if opens else []), _TICKET)
    return token


def without_token(request: web.BaseRequest, *others: str) -> Refused:
    """The refusal of a request without a token. `others`: ways to send one beside the header and the URL."""
    # Where the URL may have the token, there is none in it.
    in_url = any(name in request.rel_url.query for name in QUERY_NAMES)
    ignored = " but in its URL, where it is not accepted here" if in_url else ""
    ways = ", or ".join((_HEADER, *others, _QUERY))
    return Refused(401, Refusal(ErrorCode.BAD_TOKEN, f"the request has no token{ignored}; {ways}"))


def _malformed(message: str) -> Refused:
    return Refused(400, Refusal(ErrorCode.BAD_MESSAGE, message))


def _is_key(text: str) -> bool:
    try:
        return len(binascii.a2b_base64(text, strict_mode=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _from_base64url(text: str) -> str:
    """The token in `text`. Where `text` is not base64url: the empty string, which is no valid token."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
