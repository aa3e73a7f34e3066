"""A proxy that lets HTTP through and answers each upgrade to a WebSocket with a page, as some companies have it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.pumping import pump

PAGE = b"<h1>This kind of connection is not allowed here.</h1>"
BLOCKED = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"


class BlockingProxy:
    """In front of one port of this machine."""

    def __init__(self, beyond: int) -> None:
        self.beyond = beyond
        self.port = 0
        self.blocked = 0
        """How many upgrades were refused."""
        self.blocking = True
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def cut(self) -> None:
        """Ends everything that goes through it."""
        for writer in self._open:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if self.blocking and b"\r\nupgrade: websocket" in head.lower():
                self.blocked += 1
                writer.write(BLOCKED % (len(PAGE), PAGE))
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
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
