"""What to do after a connection ended, a handshake was refused, or a join was: one verdict per code."""

from enum import Enum


class Verdict(Enum):
    RECONNECT = "come back, with jitter"
    RENEW_TOKEN = "come back once, with a new token"
    STOP = "stop"


LOST = 1006
"""Never on the wire: the connection broke, or could not be made."""

NORMAL = 1000

_RECONNECT = frozenset({1001, 1006, 1011, 1012, 1013, 4408, 4413, 4429})
_TOKEN_EXPIRED = 4401

ELSEWHERE = frozenset({200, 204, 301, 302, 303, 307, 308, 404, 405, 410, 426})
"""Statuses of a server that is no gateway: the address is wrong. Where it was right before, a proxy is changing."""

# Repairing any of these takes another client, page, token or address; trying again does not.
_FINAL_STATUSES = ELSEWHERE | {400, 403, 413, 414, 431}

RATE_LIMITED = "rate_limited"

# A join is tried again after these; after any other code the room is left.
PASSING = frozenset({"unavailable", RATE_LIMITED})


def after_close(code: int) -> Verdict:
    """What to do after a close with `code`; a code that the protocol does not list means stop."""
    if code in _RECONNECT:
        return Verdict.RECONNECT
    return Verdict.RENEW_TOKEN if code == _TOKEN_EXPIRED else Verdict.STOP


def after_status(status: int) -> Verdict:
    """What to do after a handshake that was answered with `status`.

    What the gateway does not say comes from a proxy whose backends are changing, and passes.
    """
    if status == 401:
        return Verdict.RENEW_TOKEN
    return Verdict.STOP if status in _FINAL_STATUSES else Verdict.RECONNECT
