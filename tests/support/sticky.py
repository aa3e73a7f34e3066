"""A balancer in front of pods that sends all requests of one client to one pod, as cookies or hashes of a proxy do.

A client names itself with `client=NAME` in its URL. As in a deploy, requests of an open session go on to their pod
while it lives, and new sessions go to a pod that takes them.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from tests.support.pumping import pump

_CLIENT: Final = re.compile(rb"[?&]client=(\w+)")


class Sticky:
    """Forwards on one port of loopback. Each connection goes where its first request leads."""

    def __init__(self, pods: Sequence[int]) -> None:
        self.taking = list(pods)
        """The ports of the pods that take new sessions."""
        self.port = 0
        self.arrivals: list[float] = []
        """When each session was asked for, by the monotonic clock."""
        self._of: dict[bytes, int] = {}
        self._turn = 0

    def on(self, pod: int) -> int:
        """How many clients are on that pod."""
        return sum(one == pod for one in self._of.values())

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until it ends."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            there, away = await asyncio.open_connection("127.0.0.1", self._pod(head.partition(b"\r\n")[0]))
        except (ConnectionError, EOFError):
            writer.close()
            return
        away.write(head)
        await asyncio.gather(pump(reader, away), pump(there, writer))

    def _pod(self, line: bytes) -> int:
        found = _CLIENT.search(line)
        assert found is not None, line
        if b"sid=" not in line:
            self.arrivals.append(time.monotonic())
            self._turn += 1
            self._of[found[1]] = self.taking[self._turn % len(self.taking)]
        return self._of[found[1]]


@asynccontextmanager
async def sticky(pods: Sequence[int]) -> AsyncIterator[Sticky]:
    """Forwards within the block."""
    balancer = Sticky(pods)
    server = await asyncio.start_server(balancer.accept, "127.0.0.1", 0, backlog=4096)
    balancer.port = server.sockets[0].getsockname()[1]
    try:
        yield balancer
    finally:
        server.close()
