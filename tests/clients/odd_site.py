"""A site for a browser: pages, the files of the package, and answers to handshakes and streams as no gateway gives."""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PING: Final = b"\x89\x01p"
_OPCODE: Final = 0x0F
_CLOSE, _PONG = 8, 10
_STREAM: Final = b"retry: 100\ndata: x\n\n"
_KINDS: Final = {"js": b"text/javascript", "events": b"text/event-stream"}


class Site:
    """Counts the requests for each path. `/hang` is never answered, `/STATUS` with that status."""

    def __init__(self, dist: Path) -> None:
        self.port = 0
        self.asked: Counter[str] = Counter()
        """Also `pong`, on the sockets of `/ping`, which the site pings ten times a second, and their `/ping ended`."""
        self.news = asyncio.Condition()
        self.dist = dist

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def socket(self, path: str) -> str:
        """The address of a WebSocket."""
        return f"ws://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode().partition("?")[0]
            await self._count(path)
            if path in ("/hang", "/open", "/ping"):
                await self._socket(path, head, reader, writer)
            else:
                writer.write(self._answer(path))
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def _count(self, what: str) -> None:
        async with self.news:
            self.asked[what] += 1
            self.news.notify_all()

    async def _socket(self, path: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pinging = None
        if path != "/hang":
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
            accept = base64.b64encode(
                hashlib.sha1(fields[b"Sec-WebSocket-Key"] + _GUID, usedforsecurity=False).digest()
            )
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
            writer.write(b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept)
        if path == "/ping":
            pinging = asyncio.create_task(_ping(writer))
        try:
            while (data := await reader.read(1000)) and data[0] & _OPCODE != _CLOSE:
                if data[0] & _OPCODE == _PONG:
                    await self._count("pong")
        finally:
            if pinging is not None:
                pinging.cancel()
            await self._count(f"{path} ended")

    def _answer(self, path: str) -> bytes:
        what = path.removeprefix("/")
        if what.startswith("dist/"):
            return _response("200 OK", (self.dist / what.removeprefix("dist/")).read_bytes(), _KINDS["js"])
        if what.startswith("stream") or (what == "once" and self.asked[path] == 1):
            return _response("200 OK", _STREAM, _KINDS["events"])
        if what == "once":
            return _response("503 Service Unavailable")
        if what.startswith("3"):
            return _response(f"{what} Moved", b"", b"text/plain", b"Location: /stream/" + what.encode())
        if what.isdigit():
            return _response(f"{what} Refused", b"", b"text/plain", b"Retry-After: 1")
        return _response("200 OK", b"<!doctype html>", b"text/html")


async def _ping(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(0.1)
        writer.write(_PING)


def _response(status: str, body: bytes = b"", kind: bytes = b"text/plain", *fields: bytes) -> bytes:
    lines = (b"HTTP/1.1 " + status.encode(), b"Content-Type: " + kind, b"Connection: close", *fields)
    length = () if status.startswith("204") else (b"Content-Length: %d" % len(body),)
    return b"\r\n".join([*lines, *length, b"", body])


@asynccontextmanager
async def odd_site(dist: Path) -> AsyncIterator[Site]:
    """The site, which has the files of the folder `dist`."""
    site = Site(dist)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
