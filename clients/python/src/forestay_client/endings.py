"""Why a connection is over, or never came to be, and what to do then."""

import json
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed, InvalidStatus

from forestay_client.codes import LOST, NORMAL, Verdict, after_close, after_status


@dataclass(frozen=True, slots=True)
class Ending:
    code: int
    reason: str
    verdict: Verdict
    retry_after: float = 0.0
    at_once: bool = False
    """Whether to come back without a wait: it was the client's own wish."""


GOODBYE = Ending(NORMAL, "", Verdict.STOP)

UNAUTHORIZED = Ending(NORMAL, "unauthorized", Verdict.STOP)
"""The application has no token for us, and will have none."""


def lost(reason: str) -> Ending:
    """It broke, or could not be made."""
    return Ending(LOST, reason, Verdict.RECONNECT)


def closed(error: ConnectionClosed) -> Ending:
    """The other side closed it, or it broke."""
    if error.rcvd is None:
        return lost("")
    return Ending(error.rcvd.code, error.rcvd.reason, after_close(error.rcvd.code))


def refused(error: InvalidStatus) -> Ending:
    """The handshake got an HTTP answer, whose body is a problem document where it is the gateway's."""
    response = error.response
    try:
        problem = json.loads(response.body or b"{}")
        reason = str(problem.get("code") or problem.get("title") or "")
    except (AttributeError, ValueError):
        reason = ""
    # In seconds, as the gateway says it; a date, which some proxies say instead, is not honoured.
    after = response.headers.get("Retry-After", "")
    return Ending(
        response.status_code,
        reason or response.reason_phrase,
        after_status(response.status_code),
        float(after) if after.isascii() and after.isdigit() else 0.0,
    )
