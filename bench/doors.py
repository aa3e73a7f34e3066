"""Raw clients of each door: the native WebSocket, Socket.IO on WebSocket or by polling, and event streams.

Each opens a socket and joins a room. The crowd then reads it as it reads any other, because it only counts marks.
"""

import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from forestay.terminal.crowd import MARK, Crowd, Gate, connection, expect, handshake, text
from forestay.terminal.replies import CLOSE, frames

PATH: Final = "/socket.io/?EIO=4&transport="
_PATIENCE: Final = 30.0
# A stamp has as many digits as those of the crowd's own messages.
_DIGITS: Final = 20

Door = Callable[[Crowd, Gate, str], socket.socket]
"""Opens a socket of a client that has joined a room."""


def native(crowd: Crowd, gate: Gate, room: str) -> socket.socket:
    """A client of the native WebSocket. It is watched already."""
    [one] = crowd.connect(room)
    return one


def socketio(crowd: Crowd, gate: Gate, room: str) -> socket.socket:
    """A Socket.IO client on WebSocket alone: open, CONNECT with the token, `join-room` with its ack."""
    one = _connected(gate)
    one.sendall(handshake(Gate(gate.host, gate.port, gate.bearer, f"{PATH}websocket")))
    head, _, rest = expect(one, b"\r\n\r\n").partition(b"\r\n\r\n")
    _demand(head.startswith(b"HTTP/1.1 101"), "the upgrade", head + rest)
    heard = frames(one, rest)
    for sent, wanted in ((None, b"0{"), (_connect_packet(gate), b"40{"), (_join_packet(room), b"431[")):
        if sent is not None:
            one.sendall(text(sent))
        for opcode, body in heard:
            _demand(opcode != CLOSE and not body.startswith((b"41", b"44")), "Socket.IO", body)
            if body.startswith(wanted):
                break
    _demand(b'"ok":true' in body, "the join", body)
    return one


def polling(crowd: Crowd, gate: Gate, room: str) -> socket.socket:
    """A Socket.IO client that stays with polling: the socket of its pending poll."""
    opened = _request(gate, "GET", f"{PATH}polling")
    _demand(opened.startswith(b"0{"), "the first poll", opened)
    session = f"{PATH}polling&sid={quote(json.loads(opened[1:])['sid'])}"
    _request(gate, "POST", session, _connect_packet(gate))
    _answered(gate, session, b"40{")
    _request(gate, "POST", session, _join_packet(room))
    _demand(b'"ok":true' in _answered(gate, session, b"431["), "the join", b"")
    one = _connected(gate)
    one.sendall(_http(gate, "GET", session, None))
    return one


def stream(crowd: Crowd, gate: Gate, room: str) -> socket.socket:
    """A reader of an event stream."""
    one = _connected(gate)
    one.sendall(_http(gate, "GET", f"/stream?room={quote(room)}", None))
    heard = expect(one, b'"joined"')
    _demand(heard.startswith(b"HTTP/1.1 200"), "the stream", heard)
    return one


DOORS: Final[Mapping[str, Door]] = {"native": native, "socketio": socketio, "polling": polling, "stream": stream}


def enter(crowd: Crowd, gate: Gate, door: str, room: str, number: int, *, sample: int = 1) -> list[socket.socket]:
    """`number` clients of a door in `room`. Every `sample`-th one measures latency."""
    if door == "native":
        return crowd.connect(room, number, sample=sample)
    made = [DOORS[door](crowd, gate, room) for _ in range(number)]
    for at, one in enumerate(made):
        crowd.watch(one, sampled=at % sample == 0)
    return made


def event(room: str, size: int = 200, *, echo: bool | None = None) -> bytes:
    """A Socket.IO `message` with the same payload as the crowd's own broadcasts. `echo` is the room's business."""
    stamp = f"{time.monotonic_ns():0{_DIGITS}d}"
    padding = "y" * max(0, size - len('{"m":"","p":""}') - len(MARK) - _DIGITS)
    payload = f'{{"m":"{MARK.decode()}{stamp}","p":"{padding}"}}'
    return text(f'42["message",{{"room":"{room}","payload":{payload}}}]'.encode())


def _connect_packet(gate: Gate) -> bytes:
    return b"40" + json.dumps({"token": gate.bearer}).encode()


def _join_packet(room: str) -> bytes:
    return f'421["join-room","{room}"]'.encode()


def _answered(gate: Gate, session: str, wanted: bytes) -> bytes:
    """The packet that begins with `wanted`, from as many polls as it takes."""
    for _ in range(20):
        for packet in _request(gate, "GET", session).split(b"\x1e"):
            if packet.startswith(wanted):
                return packet
    raise RuntimeError(f"no {wanted!r} came by polling")


def _request(gate: Gate, method: str, path: str, body: bytes | None = None) -> bytes:
    """The body of the answer."""
    with _connected(gate) as one:
        one.sendall(_http(gate, method, path, body))
        heard = b""
        while more := one.recv(65536):
            heard += more
    head, _, answer = heard.partition(b"\r\n\r\n")
    _demand(head.startswith(b"HTTP/1.1 200"), f"{method} {path}", heard)
    return answer


def _http(gate: Gate, method: str, path: str, body: bytes | None) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: {gate.host}:{gate.port}\r\nAuthorization: Bearer {gate.bearer}\r\n"
    if body is None:
        return f"{head}Connection: close\r\n\r\n".encode()
    kind = f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + kind).encode() + body


def _connected(gate: Gate) -> socket.socket:
    one = connection(gate)
    one.settimeout(_PATIENCE)
    return one


def _demand(condition: bool, what: str, heard: bytes) -> None:  # noqa: FBT001 - the condition is the first thing read
    if not condition:
        raise RuntimeError(f"{what} was refused: {heard[:300]!r}")
