"""WebSocket frames by hand: what a client sends, correct or wrong, and a strict reader of the server's answers."""

import asyncio
import base64
import hashlib
import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
FIN: Final = 0x80

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Malformed(Exception):
    """The server sent something that no server may send."""


@dataclass(frozen=True, slots=True)
class Frame:
    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        """The code of a close frame; 1005 where it has none."""
        return int(struct.unpack_from("!H", self.payload)[0]) if self.payload else 1005


def masked(mask: bytes, payload: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)


def header(first: int, size: int, mask: bytes | None, *, width: int = 0) -> bytes:
    """Encodes a frame's header. `width`: bytes of the extended length, 2 or 8; 0 takes the shortest."""
    bit = 0 if mask is None else 0x80
    if not width:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    length = {
        0: lambda: struct.pack("!B", bit | size),
        2: lambda: struct.pack("!BH", bit | 126, size),
        8: lambda: struct.pack("!BQ", bit | 127, size),
    }[width]()
    return bytes([first]) + length + (mask or b"")


def frame(first: int, payload: bytes = b"", mask: bytes | None = b"\x37\xfa\x21\x3d") -> bytes:
    """A whole frame of a client. `first`: FIN, reserved bits and opcode; without a `mask` it breaks the rules."""
    return header(first, len(payload), mask) + (payload if mask is None else masked(mask, payload))


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", code) + reason


def upgrade(target: str, *lines: str, key: str = "dGhlIHNhbXBsZSBub25jZQ==") -> bytes:
    """A correct handshake, with more header `lines`."""
    head = [
        f"GET {target} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *lines,
    ]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


class Wire:
    """A TCP connection to a server, for raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> "Wire":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        """Writes. If the server has closed already, the reader notices."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError:
            pass

    async def answer(self) -> bytes:
        """The head of an HTTP answer; empty where the server closed without one."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def frame(self) -> Frame | None:
        """The next frame; None after the end of the connection. Raises Malformed."""
        try:
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            width = {126: 2, 127: 8}.get(size, 0)
            if width:
                size = int.from_bytes(await self.reader.readexactly(width))
            _check(first, second, size, width)
            return Frame(first & 0xF, await self.reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def hang_up(self, *, reset: bool = False) -> None:
        """Closes the connection; with `reset`, as a crash or a firewall would."""
        if reset:
            raw: socket.socket | None = self.writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort() if reset else self.writer.close()


async def connect(port: int, token: str, path: str = "/ws") -> Wire:
    """Opens a WebSocket and checks the handshake. Raises Malformed."""
    key = base64.b64encode(os.urandom(16)).decode()
    wire = await Wire.open(port)
    await wire.send(upgrade(path, f"Authorization: Bearer {token}", key=key))
    head = await wire.answer()
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())
    if not head.startswith(b"HTTP/1.1 101 ") or accept not in head:
        wire.hang_up()
        raise Malformed(f"no upgrade: {head[:200]!r}")
    return wire


def _check(first: int, second: int, size: int, width: int) -> None:
    """Raises Malformed unless a server may start a frame like this. Our server never sends fragments."""
    opcode = first & 0xF
    wrong = (
        (first & 0x70 and "a reserved bit is set")
        or (opcode not in (TEXT, BINARY, CLOSE, PING, PONG) and f"opcode {opcode}")
        or (not first & FIN and "fragmented")
        or (second & 0x80 and "masked")
        or (opcode >= CLOSE and size > 125 and "a long control frame")
        or (width == 2 and size < 126 and "the length is not in its shortest form")
        or (width == 8 and size < 65536 and "the length is not in its shortest form")
    )
    if wrong:
        raise Malformed(f"a frame that starts {bytes([first, second]).hex()}: {wrong}")
