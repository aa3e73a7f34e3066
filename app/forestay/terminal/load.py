"""`forestay load`: a crowd in one room, spoken to at a steady rate, and how much of it arrived how soon."""

import socket
import sys
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from forestay.terminal.crowd import Crowd, Gate, Speech, percentile, raise_file_limit

_SILENCE = 3.0
"""Seconds in which nothing comes: then nothing more will."""
_STAY = 5.0
"""Seconds between two signs of life of a connection; a gateway as shipped wants one within 35."""
_SAMPLES = 20
"""Connections whose latency is read."""
_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Load:
    room: str
    connections: int
    rate: int
    seconds: float
    size: int


class Bar:
    """How far something has come, drawn on a terminal and nowhere else."""

    def __init__(self, caption: str) -> None:
        self._caption = caption
        self._drawn = 0.0

    def show(self, share: float, words: str = "") -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or (share < 1 and now - self._drawn < 0.1):
            return
        self._drawn = now
        full = min(_WIDTH, int(share * _WIDTH))
        line = f"\r{self._caption} [{'#' * full}{'.' * (_WIDTH - full)}] {words}\x1b[K"
        print(line, end="\n" if share >= 1 else "", file=sys.stderr, flush=True)


def load(url: str, token: str, given: Load) -> str:
    """Load the gateway at `url` and print what came of it; what was lost, in words, or nothing.

    Raises ValueError where that is no address to load, OSError or RuntimeError where it does not let the crowd in.
    """
    raise_file_limit()
    crowd = Crowd(_gate(url, token))
    try:
        speech = Speech(_assembled(crowd, given), given.rate, given.size, echo=True)
        sent = _spoken(crowd, speech, given)
    finally:
        crowd.close()
    expected = sent * given.connections
    late = [nanoseconds / 1e6 for nanoseconds in crowd.latencies]
    print(f"{given.connections} connections in {given.room}, {given.rate} messages/s of {given.size} bytes")
    print(f"sent {sent}, delivered {crowd.count} of {expected}, connections closed {crowd.closed}")
    print(f"latency p50 {percentile(late, 0.5):.1f} ms, p99 {percentile(late, 0.99):.1f} ms")
    if crowd.count == expected and not crowd.closed:
        return ""
    return f"{expected - crowd.count} of {expected} deliveries are missing, {crowd.closed} connections were closed"


def _gate(url: str, token: str) -> Gate:
    parts = urlsplit(url)
    if parts.scheme != "ws" or not parts.hostname:
        raise ValueError(f"load speaks ws:// only, for it measures the gateway and not TLS: {url!r}")
    return Gate(
        parts.hostname, parts.port or 80, token, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    )


def _assembled(crowd: Crowd, given: Load) -> list[tuple[socket.socket, str]]:
    """The members of the room, who also speak there."""
    bar, members = Bar("connecting"), list[socket.socket]()
    # One of each chunk tells latency.
    chunk = max(1, given.connections // _SAMPLES)
    while len(members) < given.connections:
        number = min(chunk, given.connections - len(members))
        members += crowd.connect(given.room, number, sample=number)
        bar.show(len(members) / given.connections, f"{len(members)} of {given.connections}")
    return [(one, given.room) for one in members]


def _spoken(crowd: Crowd, speech: Speech, given: Load) -> int:
    """Speak and wait for what is under way; how many messages were sent."""
    bar, stayed = Bar("loading   "), 0.0

    def glance(elapsed: float) -> None:
        nonlocal stayed
        bar.show(elapsed / given.seconds, f"{elapsed:.0f} of {given.seconds:g} s, {crowd.count} delivered")
        if elapsed - stayed > _STAY:
            crowd.stay()
            stayed = elapsed

    sent = speech.give(crowd, given.seconds, glance)
    seen = -1
    while seen < crowd.count < sent * given.connections:
        seen = crowd.count
        crowd.read_until(sent * given.connections, _SILENCE)
    bar.show(1.0, f"{crowd.count} delivered")
    return sent
