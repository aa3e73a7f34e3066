"""All codes that a client can see: error codes of refusals, and close codes of endings.

Three things are never mixed. A *refusal* answers one request, and the connection stays open. An *ending* closes the
connection with a code and a reason. A *bug* is logged, and the client gets only 1011. This module defines the codes and
what they mean for a client. It does not decide when they are used.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from math import ceil


class ErrorCode(StrEnum):
    """The code of a refusal: in the `error` reply, and over HTTP as `code` of the problem details."""

    BAD_JSON = "bad_json"
    BAD_MESSAGE = "bad_message"
    BAD_BINARY = "bad_binary"
    UNKNOWN_TYPE = "unknown_type"
    INVALID_ROOM = "invalid_room"
    FORBIDDEN = "forbidden"
    NOT_JOINED = "not_joined"
    TOO_MANY_ROOMS = "too_many_rooms"
    RATE_LIMITED = "rate_limited"
    TOO_DEEP = "too_deep"
    UNBOUND_TYPE = "unbound_type"
    KEY_NEEDS_HISTORY = "key_needs_history"
    KEY_REUSED = "key_reused"
    UNAVAILABLE = "unavailable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    BAD_TOKEN = "bad_token"
    IDENTITY_CHANGED = "identity_changed"
    TOO_LARGE = "too_large"
    REFUSED_BY_APPLICATION = "refused_by_application"
    # Only over HTTP. A socket has no path that could be missing.
    NOT_FOUND = "not_found"


class CloseCode(IntEnum):
    """Why a connection ended. 1xxx are those of RFC 6455; 44xx have the meaning of the HTTP status 4xx."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_TEXT = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TRY_AGAIN_LATER = 1013
    TOKEN_EXPIRED = 4401
    REVOKED = 4403
    NO_PONG = 4408
    CONNECTION_LIMIT = 4409
    TOO_SLOW = 4413
    RATE_LIMITED = 4429


class Verdict(Enum):
    """What a client does after a close. Each code has one verdict."""

    RECONNECT = "come back, with jitter"
    RENEW_TOKEN = "come back once, with a new token"
    STOP = "stop"


# Never sent: a WebSocket library reports 1006 when the connection broke without a close frame.
ABNORMAL_CLOSURE = 1006
# Registered as "service restart". The gateway never sends it; proxies in front of it do.
SERVICE_RESTART = 1012

_RECONNECT = frozenset(
    {
        CloseCode.GOING_AWAY,
        ABNORMAL_CLOSURE,
        CloseCode.INTERNAL_ERROR,
        SERVICE_RESTART,
        CloseCode.TRY_AGAIN_LATER,
        CloseCode.NO_PONG,
        CloseCode.TOO_SLOW,
        CloseCode.RATE_LIMITED,
    }
)

# A client that is ended because it does not read gets no queued messages any more.
ENDS_AT_ONCE = frozenset({CloseCode.TOO_SLOW, CloseCode.TRY_AGAIN_LATER})

# The codes that a peer may send (RFC 6455 §7.4), besides 3000-4999 for libraries and applications.
_STANDARD_FROM_PEER = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})


def verdict(code: int) -> Verdict:
    """What a client should do after the close code `code`."""
    if code in _RECONNECT:
        return Verdict.RECONNECT
    return Verdict.RENEW_TOKEN if code == CloseCode.TOKEN_EXPIRED else Verdict.STOP


def answer_to_close(code: int) -> int:
    """The code that answers a peer's close frame with `code`; 0 means that the frame had none."""
    if code == 0:
        return CloseCode.NORMAL
    return code if code in _STANDARD_FROM_PEER or 3000 <= code <= 4999 else CloseCode.PROTOCOL_ERROR


class Refusal(Exception):
    """Refuses one request; the connection stays open. `message` is for a person, and says what to do."""

    def __init__(
        self, code: ErrorCode, message: str, *, retry_after: float | None = None, reason: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """Seconds after which the same request may succeed, where that is known."""
        self.reason = reason
        """The application's own code, where it is the application that refuses."""

    @property
    def retry_after_ms(self) -> int | None:
        """The same in milliseconds, rounded up: who comes a part of one early is refused again."""
        return None if self.retry_after is None else max(1, ceil(self.retry_after * 1000 - 1e-6))


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ends: the close code, and a reason of at most 123 bytes."""

    code: int
    reason: str
    by_client: bool = False
    """Whether the client closed it, or the connection broke; else the gateway ends it."""


CONNECTION_LOST = Ending(ABNORMAL_CLOSURE, "connection lost", by_client=True)
"""The connection broke, or the client closed it without a close frame."""


def closed_by_client(code: int) -> Ending:
    """The ending after a close frame of the client with `code`. Its code is that of the answer."""
    answer = answer_to_close(code)
    return Ending(answer, "bye" if answer == code or not code else "not a close code", by_client=True)


def _endings() -> dict[CloseCode, str]:
    return {
        CloseCode.NORMAL: "bye",
        CloseCode.GOING_AWAY: "going away: connect again",
        CloseCode.PROTOCOL_ERROR: "not the WebSocket protocol",
        CloseCode.INVALID_TEXT: "a text message must be UTF-8",
        CloseCode.POLICY_VIOLATION: "policy violation",
        CloseCode.MESSAGE_TOO_BIG: "message too big",
        CloseCode.INTERNAL_ERROR: "internal error",
        CloseCode.TRY_AGAIN_LATER: "overloaded: try again later",
        CloseCode.TOKEN_EXPIRED: "token expired",
        CloseCode.REVOKED: "access revoked",
        CloseCode.NO_PONG: "no sign of life within the pong timeout",
        CloseCode.CONNECTION_LIMIT: "too many connections of this user",
        CloseCode.TOO_SLOW: "too slow: the send buffer is full",
        CloseCode.RATE_LIMITED: "sent too much for too long while it was told to wait",
    }


ENDINGS = {code: Ending(code, reason) for code, reason in _endings().items()}
"""The usual ending for each code."""
