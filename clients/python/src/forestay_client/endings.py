"""Why a connection is over, or never came to be, and what to do then."""

import json
import os
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    ProxyError,
)

from forestay_client.codes import ELSEWHERE, LOST, NORMAL, Verdict, after_close, after_status
from forestay_client.errors import DisconnectedError

_LONGEST = 500
"""Characters of somebody else's sentence."""
_SHORTEST = 16

_FAILURES: Final[Sequence[tuple[type[Exception], str, str]]] = (
    (TimeoutError, "no welcome in time", "the gateway, or what is in between, did not answer in time"),
    (socket.gaierror, "host not found", "the name of the host cannot be resolved"),
    (ConnectionRefusedError, "connection refused", "nothing listens at this address and port"),
    (InvalidProxy, "proxy failed", "the address of the proxy is none"),
    (ProxyError, "proxy failed", "the proxy did not let the connection through"),
    (InvalidMessage, "no HTTP", "what answers at this address does not speak HTTP; is it the right port?"),
    (EOFError, "no HTTP", "what answers at this address hung up; is it the right port?"),
    (InvalidHandshake, "no WebSocket", "what answers at this address speaks HTTP, and is no WebSocket"),
    (ImportError, "not installed", "this kind of proxy needs the package python-socks"),
)


@dataclass(frozen=True, slots=True)
class Ending:
    code: int | str
    reason: str
    verdict: Verdict
    retry_after: float = 0.0
    at_once: bool = False
    """Whether to come back without a wait: it was the client's own wish."""
    detail: str = ""
    """What is wrong, for people."""

    def __str__(self) -> str:
        words = f"{self.code} {self.reason}".rstrip()
        return f"{words}: {self.detail}" if self.detail else words

    def error(self) -> DisconnectedError:
        return DisconnectedError(self.code, self.reason, self.detail)


GOODBYE = Ending(NORMAL, "", Verdict.STOP)

UNAUTHORIZED = Ending(NORMAL, "unauthorized", Verdict.STOP)
"""The application has no token for us, and will have none."""

FAILED = Ending("internal_error", "internal_error", Verdict.STOP, detail="the client has failed; its log says how")


def lost(reason: str, detail: str = "") -> Ending:
    """It broke, or could not be made."""
    return Ending(LOST, reason, Verdict.RECONNECT, detail=detail)


def unusable(detail: str) -> Ending:
    """What the application gave for a token is none."""
    return Ending("bad_token", "bad_token", Verdict.STOP, detail=detail)


def closed(error: ConnectionClosed) -> Ending:
    """The other side closed it, or it broke."""
    if error.rcvd is None:
        return lost("")
    return Ending(error.rcvd.code, error.rcvd.reason, after_close(error.rcvd.code))


class Response(Protocol):
    """An HTTP answer, whoever read it."""

    @property
    def status_code(self) -> int: ...
    @property
    def reason_phrase(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes | bytearray | None: ...


def problem_of(body: bytes | bytearray | None) -> Mapping[str, object]:
    """The problem document that a body is; empty where it is none."""
    try:
        problem = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def refused(response: Response, token: str) -> Ending:
    """The handshake got an HTTP answer, whose body is a problem document where it is the gateway's."""
    problem = problem_of(response.body)
    reason = str(problem.get("code") or problem.get("title") or "")
    detail = str(problem.get("detail") or "")
    if not reason and response.status_code in ELSEWHERE:
        detail = "what answers at this address is no gateway; its path is usually /ws"
    return Ending(
        response.status_code,
        _printable(reason or response.reason_phrase, token),
        after_status(response.status_code),
        retry_after(response),
        detail=_printable(detail, token),
    )


def retry_after(response: Response) -> float:
    """Seconds, as the gateway says it; a date, which some proxies say instead, is not honoured."""
    after = response.headers.get("Retry-After", "")
    return float(after) if after.isascii() and after.isdigit() else 0.0


def failed(error: Exception) -> Ending:
    """There was no HTTP answer, or one that makes no sense.

    A library's own words are not repeated: they quote headers and addresses, which may have a token or a password.
    """
    for kind, reason, detail in _FAILURES:
        if isinstance(error, kind):
            return lost(reason, detail)
    if isinstance(error, ssl.SSLCertVerificationError):
        return lost("certificate refused", f"the server's certificate is not accepted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return lost("no TLS", "no TLS at this address; is it ws:// in place of wss://?")
    if isinstance(error, OSError):
        return lost(
            "no connection", os.strerror(error.errno).lower() if error.errno else "no address of the host answers"
        )
    return lost("no connection", f"this address or proxy cannot be used ({type(error).__name__})")


def _printable(words: str, token: str) -> str:
    """Somebody else's sentence, without what a terminal would obey, and without the token that it might quote."""
    # What is shorter is no token that was worth to be kept secret, and may be a word of the sentence.
    shown = words.replace(token, "…") if len(token) >= _SHORTEST else words
    return "".join(char if char.isprintable() else " " for char in shown[:_LONGEST])
