"""A proxy that refuses upgrades to WebSockets as long as it is told to, and cuts what goes through it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.pumping import pump

PAGE = b"<h1>This kind of connection is not allowed here.</h1>"


def refusal(status: str, body: bytes = PAGE, *headers: bytes) -> bytes:
    """An answer with this status, such as `403 Forbidden`, and a page."""
    lines = (b"Content-Type: text/html", b"Content-Length: %d" % len(body), b"Connection: close", *headers)
    return b"\r\n".join([b"HTTP/1.1 " + status.encode(), *lines, b"", body])


class BlockingProxy:
    """In front of one port of this machine. It lets HTTP through unless it blocks `everything`."""

    def __init__(self, beyond: int) -> None:
        self.beyond = beyond
        self.port = 0
        self.blocked = 0
        """How many upgrades were refused."""
        self.blocking = True
        self.everything = False
        self.answer = refusal("403 Forbidden")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def cut(self) -> None:
        """Ends everything that goes through it."""
        for writer in self._open:
            writer.transport.abort()

    def reset(self) -> None:
        """Ends everything that goes through it with a TCP reset, as a machine that has lost its memory."""
        for writer in self._open:
            if (connection := writer.get_extra_info("socket")) is not None:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()

    async def listen(self) -> None:
        """Take connections, on the port that it had if it had one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def deafen(self) -> None:
        """From now on connections to its port are refused."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            is_upgrade = b"\r\nupgrade: websocket" in head.lower()
            if self.blocking and (is_upgrade or self.everything):
                self.blocked += is_upgrade
                writer.write(self.answer)
                await writer.drain()
                return
            back, onwards = await asyncio.open_connection("127.0.0.1", self.beyond)
            self._open.add(onwards)
            onwards.write(head)
            await asyncio.gather(pump(reader, onwards), pump(back, writer))
        except (OSError, EOFError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def blocking(beyond: int) -> AsyncIterator[BlockingProxy]:
    """A proxy in front of the port `beyond`."""
    proxy = BlockingProxy(beyond)
    await proxy.listen()
    try:
        yield proxy
    finally:
        proxy.deafen()
        proxy.cut()
