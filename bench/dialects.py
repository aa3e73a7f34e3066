"""How a client of each server joins a room and publishes: the frames it sends, and the bytes that answer them.

The load generator counts a mark in the payload. So it need not parse what any of the servers sends around that.
"""

import json
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.crowd import gate
from forestay.terminal.crowd import MARK, Crowd, Encode, Gate, connection, expect, handshake, join, message, text

_PATIENCE = 30.0
# A stamp has as many digits as those of the crowd's own messages.
_DIGITS = 20


class Step(NamedTuple):
    """A frame that a client sends, or nothing, and the bytes by which it knows the answer."""

    sent: bytes
    awaited: bytes


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a client says to one kind of server."""

    steps: Callable[[str, str], Sequence[Step]]
    """From the upgrade to the joined room, for a token and a room."""
    encode: Encode
    """Makes the frame of a message."""
    path: str = "/ws"
    spares_sender: bool = True
    """Whether a message can leave its sender out."""

    def gate(self, port: int) -> Gate:
        """Where such a server takes clients, with a token."""
        there = gate(port)
        return Gate(there.host, there.port, there.bearer, self.path)

    def connect(self, crowd: Crowd, port: int, room: str, number: int, *, sample: int = 1) -> list[socket.socket]:
        """`number` clients in `room`, read by `crowd`. Every `sample`-th one measures latency; none where it is 0."""
        made = [self._joined(port, room) for _ in range(number)]
        for at, one in enumerate(made):
            crowd.watch(one, sampled=bool(sample) and at % sample == 0)
        return made

    def _joined(self, port: int, room: str) -> socket.socket:
        there = self.gate(port)
        one = connection(there)
        one.settimeout(_PATIENCE)
        one.sendall(handshake(there))
        head, _, heard = expect(one, b"\r\n\r\n").partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"the upgrade was refused: {head[:300]!r}")
        for sent, awaited in self.steps(there.bearer, room):
            if sent:
                one.sendall(sent)
            heard = expect(one, awaited, heard).partition(awaited)[2]
        return one


def payload(size: int = 200) -> str:
    """The JSON of `size` bytes with the mark and the current time, as the crowd's own messages have it."""
    padding = "y" * max(0, size - len('{"m":"","p":""}') - len(MARK) - _DIGITS)
    return f'{{"m":"{MARK.decode()}{time.monotonic_ns():0{_DIGITS}d}","p":"{padding}"}}'


def _event(room: str, size: int = 200, *, echo: bool | None = None) -> bytes:
    return text(f'42["message",{{"room":"{room}","payload":{payload(size)}}}]'.encode())


def _publish(room: str, size: int = 200, *, echo: bool | None = None) -> bytes:
    return text(f'{{"id":9,"publish":{{"channel":"{room}","data":{payload(size)}}}}}'.encode())


def _pub(room: str, size: int = 200, *, echo: bool | None = None) -> bytes:
    data = payload(size).encode()
    return _binary(b"PUB %s %d\r\n%s\r\n" % (room.encode(), len(data), data))


def _binary(body: bytes) -> bytes:
    """A client's binary frame."""
    return b"\x82" + text(body)[1:]


def _plain_steps(bearer: str, room: str) -> list[Step]:
    return [Step(join(room), b'"joined"')]


def _socketio_steps(bearer: str, room: str) -> list[Step]:
    connect = b"40" + json.dumps({"token": bearer}).encode()
    return [
        Step(b"", b'"maxPayload"'),
        Step(text(connect), b'40{"sid"'),
        Step(text(f'421["join-room","{room}"]'.encode()), b'431[{"ok":true}]'),
    ]


def _centrifugo_steps(bearer: str, room: str) -> list[Step]:
    connect = json.dumps({"id": 1, "connect": {"token": bearer}}).encode()
    subscribe = json.dumps({"id": 2, "subscribe": {"channel": room}}).encode()
    return [Step(text(connect), b'"connect":{'), Step(text(subscribe), b'"subscribe":{')]


def _nats_steps(bearer: str, room: str) -> list[Step]:
    options = json.dumps({"auth_token": NATS_TOKEN, "verbose": False, "pedantic": False, "echo": True})
    return [
        Step(_binary(f"CONNECT {options}\r\nPING\r\n".encode()), b"PONG\r\n"),
        Step(_binary(f"SUB {room} 1\r\nPING\r\n".encode()), b"PONG\r\n"),
    ]


NATS_TOKEN = "bench-token-of-at-least-32-bytes-too"
PLAIN = Dialect(_plain_steps, message)
SOCKETIO = Dialect(_socketio_steps, _event, "/socket.io/?EIO=4&transport=websocket", spares_sender=False)
CENTRIFUGO = Dialect(_centrifugo_steps, _publish, "/connection/websocket", spares_sender=False)
NATS = Dialect(_nats_steps, _pub, "/", spares_sender=False)
