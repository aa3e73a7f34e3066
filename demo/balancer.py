"""A load balancer for one machine: sends new connections to the pods in turn, and records each of them."""

import asyncio
import base64
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, cast

_BACKLOG: Final = 4096
_BEARER: Final = re.compile(rb"(?:Bearer |(base64url\.bearer\.forestay\.))([\w.-]+)")


@dataclass(slots=True, eq=False)
class Passage:
    """One forwarded connection. Times are of the monotonic clock."""

    pod: int
    """The port of its pod."""
    came: float
    request: bytes = b""
    """The first bytes from the client: the head of its request."""
    answered: float | None = None
    """The time of the pod's first bytes."""
    ended: float | None = None
    ends: list[asyncio.Transport] = field(default_factory=list)

    @property
    def token(self) -> str | None:
        """The token that its client sent."""
        found = _BEARER.search(self.request)
        if found is None:
            return None
        encoded, token = found[1], found[2]
        return (base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4)) if encoded else token).decode()


class Balancer:
    """Listens on a port of the loopback address."""

    def __init__(self, pods: Iterable[int]) -> None:
        """`pods`: the ports that get new connections."""
        self.taking = list(pods)
        self.passages: list[Passage] = []
        self.port = 0
        self._next = 0
        self._server: asyncio.Server | None = None
        self._opening: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def open(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._arrival, "127.0.0.1", port, backlog=_BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]

    def rest(self, pod: int) -> None:
        """Stops sending new connections to that pod. Open ones stay."""
        self.taking = [one for one in self.taking if one != pod]

    def add(self, pod: int) -> None:
        """Starts sending new connections to that pod."""
        self.taking = [*self.taking, pod]

    def through(self, pod: int) -> int:
        """The number of open connections to that pod."""
        return sum(one.pod == pod and one.ended is None for one in self.passages)

    def cut(self) -> None:
        """Aborts every connection, as a crash of the balancer would."""
        for passage in self.passages:
            for end in passage.ends:
                end.abort()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._opening)

    def _arrival(self) -> asyncio.Protocol:
        return _End(self._lead)

    def _lead(self, arrived: "_End") -> None:
        """Connects a client to a pod and forwards from then on."""
        task = asyncio.ensure_future(self._connect(arrived))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, arrived: "_End") -> None:
        came = time.monotonic()
        if not self.taking:
            arrived.transport.abort()
            return
        self._next += 1
        pod = self.taking[self._next % len(self.taking)]
        loop = asyncio.get_running_loop()
        try:
            _, beyond = await loop.create_connection(lambda: _End(lambda _: None), "127.0.0.1", pod)
        except OSError:
            arrived.transport.abort()
            return
        passage = Passage(pod, came, ends=[arrived.transport, beyond.transport])
        self.passages.append(passage)
        arrived.join(beyond, passage)
        beyond.join(arrived, passage)


class _End(asyncio.Protocol):
    """One side of a forwarded connection. The other side writes what this one reads, and no faster."""

    transport: asyncio.Transport

    def __init__(self, met: Callable[["_End"], None]) -> None:
        self._met = met
        self._other: _End | None = None
        self._passage: Passage | None = None
        self.read_all = False
        self._over = False

    def join(self, other: "_End", passage: Passage) -> None:
        self._other, self._passage = other, passage
        if self._over:
            other.transport.abort()
        else:
            self.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.pause_reading()
        self._met(self)

    def data_received(self, data: bytes) -> None:
        assert self._other is not None
        assert self._passage is not None
        if self.transport is self._passage.ends[0]:
            self._passage.request = self._passage.request or data
        elif self._passage.answered is None:
            self._passage.answered = time.monotonic()
        self._other.transport.write(data)

    def eof_received(self) -> bool:
        """Passes on the end of the data. The connection ends when both sides have ended."""
        self.read_all = True
        if self._other is None or self._other.read_all:
            return False
        self._other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None:
            self._other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._over = True
        if self._passage is not None:
            self._passage.ended = self._passage.ended or time.monotonic()
        if self._other is not None:
            if error is None:
                self._other.transport.close()
            else:
                self._other.transport.abort()
