"""The load generator: many raw sockets, one epoll loop, and a count of every message by a mark in its bytes.

It counts messages and not reads: one read may have several messages, and one message may be split over two reads. It
does not parse the messages, so that it takes little CPU from the server. Some connections measure latency, from the
time in each message.
"""

import base64
import json
import os
import re
import resource
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from forestay.terminal.replies import CLOSE, TEXT, frames, refused
from forestay.terminal.words import printable

MARK = b"@#@"
_DIGITS = 20
_STAMPS = re.compile(re.escape(MARK) + rb"(\d{%d})" % _DIGITS)
_KEEP = len(MARK) - 1
_BUFFER = 1 << 18
# Seconds to wait for an answer while a connection is made.
_PATIENCE = 30.0
_PONG = b"\x8a\x80\0\0\0\0"


@dataclass(frozen=True, slots=True)
class Gate:
    """Where to connect, and the token."""

    host: str
    port: int
    bearer: str
    path: str = "/ws"


def raise_file_limit() -> int:
    """Raises the limit of open files to the hard limit, and returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def text(body: bytes, mask: bytes = b"\0\0\0\0") -> bytes:
    """Encodes a client's text frame. The mask is all zeros: that is valid, and masking then costs nothing."""
    size = len(body)
    if size < 126:
        return struct.pack("!BB", 0x81, 0x80 | size) + mask + body
    if size < 65536:
        return struct.pack("!BBH", 0x81, 0xFE, size) + mask + body
    return struct.pack("!BBQ", 0x81, 0xFF, size) + mask + body


def handshake(gate: Gate) -> bytes:
    """Encodes an upgrade request."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {gate.path} HTTP/1.1\r\nHost: {gate.host}:{gate.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {gate.bearer}\r\n\r\n"
    ).encode()


def join(room: str) -> bytes:
    return text(f'{{"type":"join","room":"{room}"}}'.encode())


def leave(room: str) -> bytes:
    return text(f'{{"type":"leave","room":"{room}"}}'.encode())


def message(room: str, size: int = 200, *, echo: bool | None = None) -> bytes:
    """Encodes a broadcast with `size` bytes of payload, which has the mark and the current time.

    `echo`: whether its sender receives it; None leaves that to the room's policy.
    """
    stamp = f"{time.monotonic_ns():0{_DIGITS}d}"
    head = f'{{"type":"broadcast","room":"{room}","payload":{{"m":"{MARK.decode()}{stamp}","p":"'
    tail = '"}' + ("" if echo is None else f',"echo":{str(echo).lower()}') + "}"
    padding = "y" * max(0, size - len('{"m":"","p":""}') - len(MARK) - _DIGITS)
    return text((head + padding + tail).encode())


class Crowd:
    """Many connections to one server, read in one loop."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._epoll = select.epoll()
        self._by_fd: dict[int, socket.socket] = {}
        self._tails: dict[int, bytes] = {}
        self._sampled: set[int] = set()
        self._buffer = bytearray(_KEEP + _BUFFER)
        self._window = memoryview(self._buffer)[_KEEP:]
        self.count = 0
        """Messages since the last reset."""
        self.latencies: list[int] = []
        """Nanoseconds from making a message to reading it, for each message of the sampled connections."""
        self.limits: Mapping[str, float] = {}
        """What the gateway takes from each connection, as the last welcome said."""
        self.closed = 0
        """Connections that the server closed."""

    def connect(self, room: str, number: int = 1, *, sample: int = 1) -> list[socket.socket]:
        """Opens `number` connections in sequence and joins `room`. Every `sample`-th one measures latency."""
        made = [self._joined(room) for _ in range(number)]
        for at, one in enumerate(made):
            self.watch(one, sampled=at % sample == 0)
        return made

    def watch(self, one: socket.socket, *, sampled: bool = False) -> None:
        """Adds `one` to the sockets that are read."""
        one.settimeout(0)
        self._by_fd[one.fileno()] = one
        self._tails[one.fileno()] = b"\0" * _KEEP
        if sampled:
            self._sampled.add(one.fileno())
        self._epoll.register(one.fileno(), select.EPOLLIN)

    def ignore(self, one: socket.socket) -> None:
        """Stops reading `one`, so that its messages pile up."""
        self._epoll.unregister(one.fileno())

    def reset(self) -> None:
        self.count = 0
        self.latencies = []

    def read(self, wait: float) -> None:
        """Reads the available data, and waits at most `wait` seconds for some."""
        now = 0
        for fd, _ in self._epoll.poll(max(0.0, wait)):
            try:
                size = self._by_fd[fd].recv_into(self._window)
            except BlockingIOError:
                continue
            except ConnectionError:
                size = 0
            if not size:
                self.closed += 1
                self._epoll.unregister(fd)
                continue
            end = _KEEP + size
            self._buffer[:_KEEP] = self._tails[fd]
            self.count += self._buffer.count(MARK, 0, end)
            self._tails[fd] = bytes(self._buffer[end - _KEEP : end])
            if fd in self._sampled:
                now = now or time.monotonic_ns()
                self._sample(end, now)

    def read_until(self, count: int, timeout: float) -> None:
        """Reads until `count` messages came, for at most `timeout` seconds."""
        until = time.monotonic() + timeout
        while self.count < count and time.monotonic() < until:
            self.read(0.05)

    def stay(self) -> None:
        """Sends a pong on each connection, because pings are not parsed and so not answered."""
        for one in self._by_fd.values():
            try:
                one.send(_PONG)
            except OSError:
                pass  # Either it is closed, which the next read shows, or its buffer is full.

    def close(self) -> None:
        for one in self._by_fd.values():
            one.close()
        self._epoll.close()

    def _sample(self, end: int, now: int) -> None:
        # All messages of the read: the last one alone would hide the latency of a server that sends many at once.
        self.latencies += [now - int(made) for made in _STAMPS.findall(self._buffer, 0, end)]

    def _joined(self, room: str) -> socket.socket:
        one = connection(self._gate)
        one.settimeout(_PATIENCE)
        one.sendall(handshake(self._gate))
        head, _, rest = expect(one, b"\r\n\r\n").partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(refused(one, head, rest))
        one.sendall(join(room))
        for opcode, body in frames(one, rest):
            if opcode == CLOSE:
                code, reason = int.from_bytes(body[:2]), body[2:].decode(errors="replace")
                raise RuntimeError(printable(f"the gateway closed the connection: {code} {reason}"))
            reply = json.loads(body) if opcode == TEXT else {}
            if reply.get("type") == "welcome":
                self.limits = reply["payload"]["limits"]
            elif reply.get("type") == "error":
                said = reply["payload"]
                raise RuntimeError(printable(f"the join was refused: {said['code']}: {said['message']}"))
            elif reply.get("type") == "joined":
                break
        return one


def connection(gate: Gate) -> socket.socket:
    """Opens a TCP connection without Nagle's algorithm, as WebSocket clients do: it would delay small messages."""
    one = socket.create_connection((gate.host, gate.port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def expect(one: socket.socket, what: bytes, had: bytes = b"") -> bytes:
    """Reads `one` until `what` has come. Returns all data."""
    data = had
    while what not in data:
        more = one.recv(65536)
        if not more:
            raise RuntimeError(f"closed while waiting for {what!r}: {data[-200:]!r}")
        data += more
    return data


def send(one: socket.socket, data: bytes) -> None:
    """Sends all of `data` on a non-blocking socket, and waits while the server is slow."""
    while data:
        try:
            data = data[one.send(data) :]
        except BlockingIOError:
            select.select([], [one], [], 1.0)


class Encode(Protocol):
    """Encodes a message of so many bytes for a room."""

    def __call__(self, room: str, size: int = 200, *, echo: bool | None = None) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Speech:
    """Messages at a steady rate, sent by each of the speakers in turn into the room paired with it."""

    speakers: Sequence[tuple[socket.socket, str]]
    rate: float
    """Messages per second, of all speakers together."""
    size: int = 200
    echo: bool | None = None
    encode: Encode = message
    """Makes the frame of a message."""

    def give(self, crowd: Crowd, seconds: float, progress: Callable[[float], None] = lambda _: None) -> int:
        """Publishes for `seconds` while `crowd` reads. Returns the number of sent messages, which is rate x seconds.

        `progress` is called with the elapsed seconds. The loop is open: if the server falls behind, messages pile up. A
        machine that is too busy to send a message in time sends it late.
        """
        sent, total, started = 0, round(self.rate * seconds), time.monotonic()
        while sent < total or time.monotonic() - started < seconds:
            elapsed = time.monotonic() - started
            progress(min(elapsed, seconds))
            while sent < min(total, elapsed * self.rate):
                speaker, room = self.speakers[sent % len(self.speakers)]
                send(speaker, self.encode(room, self.size, echo=self.echo))
                sent += 1
            due = started + (sent / self.rate if sent < total else seconds)
            crowd.read(min(0.02, due - time.monotonic()))
        return sent


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a `share` of `values` lie; NaN if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")
