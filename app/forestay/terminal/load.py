"""`forestay load`: connects many clients to one room, publishes at a steady rate, counts deliveries and latency."""

import json
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from urllib.parse import urlsplit

from forestay.terminal.crowd import Crowd, Gate, Speech, message, percentile, raise_file_limit
from forestay.terminal.plot import histogram, sparkline
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


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a load."""

    plan: Load
    sent: int
    delivered: int
    closed: int
    """Connections that the gateway closed."""
    milliseconds: Sequence[float]
    """Latencies of the connections that were sampled."""
    by_second: Sequence[float]
    """The p99 of each second, in milliseconds; NaN where no message came."""

    @property
    def expected(self) -> int:
        return self.sent * self.plan.connections

    @property
    def missing(self) -> str:
        """What is missing, as text; empty if everything arrived."""
        if self.delivered == self.expected and not self.closed:
            return ""
        return (
            f"{self.expected - self.delivered} of {self.expected} deliveries are missing, "
            f"{self.closed} connections were closed"
        )

    def as_text(self, *, plotted: bool) -> str:
        """Lines for a person. `plotted`: with the latencies as a picture."""
        plan, (p50, p99) = self.plan, self._percentiles()
        lines = [
            f"{plan.connections} connections in {plan.room}, {plan.rate} messages/s of {plan.size} bytes",
            f"sent {self.sent}, delivered {self.delivered} of {self.expected}, connections closed {self.closed}",
            f"latency p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        ]
        if plotted and self.milliseconds:
            lines += ["", *histogram(self.milliseconds), "", f"p99 by second  {sparkline(self.by_second)}"]
        return "\n".join(lines)

    def as_json(self) -> str:
        """One line for programs. Latencies are in milliseconds; null where none was measured."""
        p50, p99 = (None if isnan(value) else round(value, 3) for value in self._percentiles())
        plan = self.plan
        facts = {"room": plan.room, "connections": plan.connections, "rate": plan.rate, "size": plan.size}
        counts = {"sent": self.sent, "delivered": self.delivered, "expected": self.expected, "closed": self.closed}
        return json.dumps(facts | counts | {"latency_ms": {"p50": p50, "p99": p99}})

    def _percentiles(self) -> tuple[float, float]:
        return percentile(self.milliseconds, 0.5), percentile(self.milliseconds, 0.99)


class _Seconds:
    """Watches the latencies second by second."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._seen = 0
        self.percentiles: list[float] = []

    def at(self, elapsed: float) -> None:
        """Takes what came since the last whole second, if another one is over."""
        while len(self.percentiles) < int(elapsed):
            new = self._crowd.latencies[self._seen :]
            self._seen = len(self._crowd.latencies)
            self.percentiles.append(percentile(new, 0.99) / 1e6)


def load(url: str, token: str, plan: Load) -> Result:
    """Loads the gateway at `url`, and shows on a terminal how far it is.

    Raises ValueError if the URL is not a ws:// URL or the gateway's limits forbid the plan. Raises OSError or
    RuntimeError if the clients cannot connect.
    """
    raise_file_limit()
    crowd = Crowd(_gate(url, token))
    try:
        speech = Speech(_connect(crowd, plan), plan.rate, plan.size, echo=True)
        by_second = _Seconds(crowd)
        sent = _publish(crowd, speech, plan, by_second)
    finally:
        crowd.close()
    milliseconds = [nanoseconds / 1e6 for nanoseconds in crowd.latencies]
    return Result(plan, sent, crowd.count, crowd.closed, milliseconds, by_second.percentiles)


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


def _publish(crowd: Crowd, speech: Speech, plan: Load, by_second: _Seconds) -> int:
    """Publishes at the given rate and waits for the last deliveries. Returns the number of sent messages."""
    bar, last_pong = Bar("loading   "), 0.0

    def progress(elapsed: float) -> None:
        nonlocal last_pong
        by_second.at(elapsed)
        drawn = sparkline(by_second.percentiles[-20:])
        bar.show(elapsed / plan.seconds, f"{elapsed:.0f} of {plan.seconds:g} s, {crowd.count} delivered, p99 {drawn}")
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
