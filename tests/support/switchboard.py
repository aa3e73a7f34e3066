"""One address in front of several pods: each new connection goes to the pod that is chosen at that time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.pumping import pump


class Switchboard:
    """Forwards connections on loopback, and ends each side when the other one ends."""

    def __init__(self) -> None:
        self.target = 0
        """The port of the pod that gets new connections."""
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until it ends."""
        try:
            there, away = await asyncio.open_connection("127.0.0.1", self.target)
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(pump(reader, away), pump(there, writer))


@asynccontextmanager
async def switchboard() -> AsyncIterator[Switchboard]:
    """Forwards within the block."""
    board = Switchboard()
    server = await asyncio.start_server(board.accept, "127.0.0.1", 0)
    board.port = server.sockets[0].getsockname()[1]
    try:
        yield board
    finally:
        server.close()
