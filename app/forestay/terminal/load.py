"""`forestay load`: connects many clients to one room, publishes at a steady rate, counts deliveries and latency."""

import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from forestay.terminal.crowd import Crowd, Gate, Speech, message, percentile, raise_file_limit
from forestay.terminal.words import shown, usable

_SILENCE = 3.0
"""Seconds without a message after which no more messages are expected."""
_PONG_INTERVAL = 5.0
"""Seconds between two pongs of a connection. A gateway with default settings expects one within 35."""
_SAMPLES = 20
"""The number of connections whose latency is measured."""
_WIDTH = 40
_FRAME_HEADER = 14
"""Bytes of a large frame besides the message."""


@dataclass(frozen=True, slots=True)
class Load:
    room: str
    connections: int
    rate: int
    seconds: float
    size: int


class Bar:
    """A progress bar, drawn on a terminal only."""

    def __init__(self, caption: str) -> None:
        self._caption = caption
        self._drawn = 0.0

    def show(self, share: float, text: str = "") -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or (share < 1 and now - self._drawn < 0.1):
            return
        self._drawn = now
        full = min(_WIDTH, int(share * _WIDTH))
        line = f"\r{self._caption} [{'#' * full}{'.' * (_WIDTH - full)}] {text}\x1b[K"
        print(line, end="\n" if share >= 1 else "", file=sys.stderr, flush=True)


def load(url: str, token: str, plan: Load) -> str:
    """Loads the gateway at `url` and prints the result. Returns what is missing as text, or an empty text.

    Raises ValueError if the URL is not a ws:// URL or the gateway's limits forbid the plan. Raises OSError or
    RuntimeError if the clients cannot connect.
    """
    raise_file_limit()
    crowd = Crowd(_gate(url, token))
    try:
        speech = Speech(_connect(crowd, plan), plan.rate, plan.size, echo=True)
        sent = _publish(crowd, speech, plan)
    finally:
        crowd.close()
    expected = sent * plan.connections
    milliseconds = [nanoseconds / 1e6 for nanoseconds in crowd.latencies]
    print(f"{plan.connections} connections in {plan.room}, {plan.rate} messages/s of {plan.size} bytes")
    print(f"sent {sent}, delivered {crowd.count} of {expected}, connections closed {crowd.closed}")
    print(f"latency p50 {percentile(milliseconds, 0.5):.1f} ms, p99 {percentile(milliseconds, 0.99):.1f} ms")
    if crowd.count == expected and not crowd.closed:
        return ""
    return f"{expected - crowd.count} of {expected} deliveries are missing, {crowd.closed} connections were closed"


def _gate(url: str, token: str) -> Gate:
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        raise ValueError("the URL cannot be read; it must look like ws://localhost:8080/ws") from None
    if parts.scheme != "ws" or not parts.hostname:
        raise ValueError(f"load accepts ws:// only, because it measures the gateway and not TLS: {shown(url)}")
    return Gate(parts.hostname, port, usable(token), (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


def _connect(crowd: Crowd, plan: Load) -> list[tuple[socket.socket, str]]:
    """Connects the members of the room. They are the speakers too."""
    bar, members = Bar("connecting"), list[socket.socket]()
    # One connection of each chunk measures latency.
    chunk = max(1, plan.connections // _SAMPLES)
    while len(members) < plan.connections:
        number = min(chunk, plan.connections - len(members))
        members += crowd.connect(plan.room, number, sample=number)
        _check_limits(crowd.limits, plan)
        bar.show(len(members) / plan.connections, f"{len(members)} of {plan.connections}")
    return [(member, plan.room) for member in members]


def _check_limits(limits: Mapping[str, float], plan: Load) -> None:
    """Raises ValueError for a plan that the gateway would refuse. A refused message would only look like a lost one."""
    size = len(message(plan.room, plan.size, echo=True)) - _FRAME_HEADER
    if size > limits.get("message_bytes", size):
        raise ValueError(f"a message of {size} bytes is larger than the gateway takes ({limits['message_bytes']})")
    each, rate = plan.rate / plan.connections, limits.get("rate", 0)
    if rate and each > rate:
        raise ValueError(
            f"{each:g} messages per second from each connection are more than the gateway takes ({rate:g}); "
            "use more --connections or a lower --rate"
        )


def _publish(crowd: Crowd, speech: Speech, plan: Load) -> int:
    """Publishes at the given rate and waits for the last deliveries. Returns the number of sent messages."""
    bar, last_pong = Bar("loading   "), 0.0

    def progress(elapsed: float) -> None:
        nonlocal last_pong
        bar.show(elapsed / plan.seconds, f"{elapsed:.0f} of {plan.seconds:g} s, {crowd.count} delivered")
        if elapsed - last_pong > _PONG_INTERVAL:
            crowd.stay()
            last_pong = elapsed

    sent = speech.give(crowd, plan.seconds, progress)
    previous = -1
    while previous < crowd.count < sent * plan.connections:
        previous = crowd.count
        crowd.read_until(sent * plan.connections, _SILENCE)
    bar.show(1.0, f"{crowd.count} delivered")
    return sent
