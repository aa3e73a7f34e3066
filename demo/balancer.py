"""A load balancer for one machine: new connections to the pods that take them in turn, and a record of each."""

import asyncio
import base64
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

_PIECE: Final = 65536
_BACKLOG: Final = 4096
_BEARER: Final = re.compile(rb"(?:Bearer |(base64url\.bearer\.forestay\.))([\w.-]+)")


@dataclass(slots=True, eq=False)
class Passage:
    """One connection on its way through; times are of the monotonic clock."""

    pod: int
    """The port it was sent to."""
    came: float
    request: bytes = b""
    """The first bytes that the client sent: the head of its request."""
    answered: float | None = None
    """When the pod's first bytes went back."""
    ended: float | None = None
    transports: list[asyncio.WriteTransport] = field(default_factory=list)

    @property
    def token(self) -> str | None:
        """The one that its client came with."""
        found = _BEARER.search(self.request)
        if found is None:
            return None
        encoded, token = found[1], found[2]
        return (base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4)) if encoded else token).decode()


class Balancer:
    """Listens on a port of the loopback address."""

    def __init__(self, pods: Iterable[int]) -> None:
        """`pods`: the ports that take new connections."""
        self.taking = list(pods)
        self.passages: list[Passage] = []
        self.port = 0
        self._next = 0
        self._server: asyncio.Server | None = None
        self._trips: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def open(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, backlog=_BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]

    def rest(self, pod: int) -> None:
        """Send nothing new to that pod; what is there stays."""
        self.taking = [one for one in self.taking if one != pod]

    def add(self, pod: int) -> None:
        """Send new connections to that pod too."""
        self.taking = [*self.taking, pod]

    def through(self, pod: int) -> int:
        """How many connections lead to that pod."""
        return sum(one.pod == pod and one.ended is None for one in self.passages)

    def cut(self) -> None:
        """End every connection, as a balancer does that crashes."""
        for passage in self.passages:
            for transport in passage.transports:
                transport.abort()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._trips, return_exceptions=True)

    def _choose(self) -> int | None:
        """The next in turn."""
        if not self.taking:
            return None
        self._next += 1
        return self.taking[self._next % len(self.taking)]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._trips.add(task)
        pod, came = self._choose(), time.monotonic()
        try:
            if pod is None:
                return
            back, forth = await asyncio.open_connection("127.0.0.1", pod)
            passage = Passage(pod, came, transports=[writer.transport, forth.transport])
            self.passages.append(passage)
            try:
                await asyncio.gather(_ask(passage, reader, forth), _answer(passage, back, writer))
            finally:
                passage.ended = time.monotonic()
                passage.transports.clear()
                forth.transport.abort()
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._trips.discard(task)


async def _ask(passage: Passage, reader: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        passage.request = passage.request or data
        forth.write(data)
        await forth.drain()
    if forth.can_write_eof():
        forth.write_eof()


async def _answer(passage: Passage, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await back.read(_PIECE):
        passage.answered = passage.answered or time.monotonic()
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
