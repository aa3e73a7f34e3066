"""Writes refusals as HTTP responses: problem details (RFC 9457) with the error codes of the WebSocket protocol."""

import math
import random
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from forestay.protocol.codes import ErrorCode, Refusal

STATUS: Final = {
    ErrorCode.BAD_JSON: 400,
    ErrorCode.BAD_MESSAGE: 400,
    ErrorCode.BAD_BINARY: 400,
    ErrorCode.UNKNOWN_TYPE: 400,
    ErrorCode.INVALID_ROOM: 400,
    ErrorCode.TOO_DEEP: 400,
    ErrorCode.BAD_TOKEN: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.REFUSED_BY_APPLICATION: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.KEY_NEEDS_HISTORY: 409,
    ErrorCode.KEY_REUSED: 409,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.OUTCOME_UNKNOWN: 504,
}
"""The HTTP status of each refusal that can be answered over HTTP."""

_TYPE: Final = "application/problem+json"

# The longest wait is this many times the shortest: callers refused at the same time must not retry at the same time.
_JITTER = 2.0


def problem(refusal: Refusal, status: int | None = None) -> web.Response:
    """The response to a refused request. `status`: the HTTP status, where it is not the usual one of the code."""
    number = status or STATUS.get(refusal.code, 400)
    response = web.Response(status=number, body=_document(refusal, number), content_type=_TYPE)
    if number == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refusal.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(refusal.retry_after * random.uniform(1.0, _JITTER)))
    return response


def other_method(allowed: str) -> web.Response:
    """The response to a method that the path does not have. `allowed`: those that it has."""
    response = problem(Refusal(ErrorCode.NOT_FOUND, f"this path has no such method; it has {allowed}"), 405)
    response.headers["Allow"] = allowed
    return response


def raw_problem(refusal: Refusal, status: int) -> bytes:
    """A whole response to a connection that aiohttp does not serve. The connection is closed after it."""
    body = _document(refusal, status)
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        "Server: forestay",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def _document(refusal: Refusal, status: int) -> bytes:
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": refusal.code,
        "detail": refusal.message,
    }
    if refusal.reason is not None:
        document["reason"] = refusal.reason
    if refusal.code is ErrorCode.RATE_LIMITED and refusal.retry_after is not None:
        # In seconds, as Retry-After has them, a client would wait for far too long.
        document["retry_after_ms"] = refusal.retry_after_ms
    return msgspec.json.encode(document)
