"""The errors of Engine.IO requests: a code that clients know, its usual message, and what to do."""

from enum import IntEnum
from typing import Final

from msgspec.json import encode as to_json


class RequestError(IntEnum):
    """What is wrong with a request. The numbers are those of Engine.IO."""

    UNKNOWN_TRANSPORT = 0
    UNKNOWN_SESSION = 1
    BAD_METHOD = 2
    BAD_REQUEST = 3
    FORBIDDEN = 4
    UNSUPPORTED_VERSION = 5


_MESSAGES: Final = {
    RequestError.UNKNOWN_TRANSPORT: "Transport unknown",
    RequestError.UNKNOWN_SESSION: "Session ID unknown",
    RequestError.BAD_METHOD: "Bad handshake method",
    RequestError.BAD_REQUEST: "Bad request",
    RequestError.FORBIDDEN: "Forbidden",
    RequestError.UNSUPPORTED_VERSION: "Unsupported protocol version",
}


def error_body(error: RequestError, detail: str) -> bytes:
    """The JSON body of a refused request. `detail`: what is wrong and what to do; clients ignore this field."""
    return to_json({"code": error, "message": _MESSAGES[error], "detail": detail})


def error_status(error: RequestError) -> int:
    """The HTTP status of a refused request."""
    return 403 if error is RequestError.FORBIDDEN else 400
