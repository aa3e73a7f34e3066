"""Keeps one connection to a node: connects, waits for its end, backs off, and connects again.

The handler learns of a lost connection at once, so that nothing is written into it. The link knows nothing of the
commands and replies that pass over it.
"""

import asyncio
import random
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from forestay.bus.redis.client.address import HostPort
from forestay.bus.redis.client.connection import ConnectError, RespConnection
from forestay.bus.redis.client.dial import Dial
from forestay.bus.redis.client.subscription import PubSub
from forestay.core.ports.tasks import Tasks

MIN_BACKOFF: Final = 0.1
MAX_BACKOFF: Final = 2.0
"""Seconds. A back-off is drawn between 0 and a bound, which doubles from the first number to the second. So pods that
lost Redis together do not come back together."""

# Seconds after which a connection counts as stable: the next back-off is a short one again.
_STABLE: Final = 5.0


class LinkState(Enum):
    """How far a link is."""

    CONNECTING = "not connected, and no attempt has failed yet"
    UP = "connected"
    DOWN = "not connected, and the last attempt failed"


class LinkHandler(Protocol):
    """Sends commands over a link and takes the replies."""

    def connected(self, incarnation: bytes) -> None:
        """There is a new connection. `incarnation`: as Dialed says."""

    def received(self, reply: object) -> None: ...

    def disconnected(self, reason: str) -> None:
        """The connection is gone. Replies that are missing will not come."""

    def down(self) -> None:
        """The server counts as down until the next connection is made."""


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """How to reach one node, and how to talk to it."""

    host: HostPort
    """The name of the node. The server itself may be elsewhere, where sentinels are asked for it."""
    dial: Dial
    tasks: Tasks
    timeout: float
    """Seconds to wait for a reply."""
    pubsub: PubSub
    """How it publishes and subscribes."""

    def link(self, handler: LinkHandler) -> "Link":
        """A new link to the node."""
        return Link(self.dial, handler, self.tasks)


class Link:
    def __init__(self, dial: Dial, handler: LinkHandler, tasks: Tasks) -> None:
        self._dial = dial
        self._handler = handler
        self._tasks = tasks
        self._connection: RespConnection | None = None
        self._disconnected = asyncio.Event()
        self._retry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.state = LinkState.CONNECTING

    @property
    def host(self) -> HostPort | None:
        """Where the connection leads; None without one."""
        return self._connection.host if self._connection is not None else None

    def start(self) -> None:
        self._task = self._tasks.keep("redis_link", self._run)

    def retry_now(self) -> None:
        """End the back-off: another link has just reached the server."""
        if self.state is not LinkState.UP:
            self._retry.set()

    def write(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write(data)

    def reconnect(self, reason: str, *, down: bool = False) -> None:
        """Drop the connection and make another. `down`: count the server as down until that is made."""
        if self._connection is not None:
            self._connection.drop()
            self._lost(reason)
            if down:
                self._down()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        # The task does this too, unless it was cancelled before its first step.
        self._stop("the link was closed")

    async def _run(self) -> None:
        """Stay connected until cancelled. Can be called again after a failure: nothing is left of the run before."""
        try:
            await self._stay_connected()
        finally:
            self._stop("the link stopped")

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            if await self._connect():
                since = loop.time()
                await self._disconnected.wait()
                if loop.time() - since > _STABLE:
                    failures = 0
            await self._back_off(random.uniform(0, min(MAX_BACKOFF, MIN_BACKOFF * 2**failures)))
            failures = min(failures + 1, 10)

    async def _connect(self) -> bool:
        """Make a connection; whether that worked."""
        try:
            client, incarnation = await self._dial()
            connection = RespConnection(client, self._handler.received, self._lost)
        except ConnectError:
            self._down()
            return False
        self._disconnected.clear()
        self._retry.clear()
        self._connection = connection
        self.state = LinkState.UP
        self._handler.connected(incarnation)
        return True

    async def _back_off(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._retry.wait()
        except TimeoutError:
            return
        self._retry.clear()

    def _lost(self, reason: str) -> None:
        self._connection = None
        self.state = LinkState.CONNECTING
        self._disconnected.set()
        self._handler.disconnected(reason)

    def _down(self) -> None:
        self.state = LinkState.DOWN
        self._handler.down()

    def _stop(self, reason: str) -> None:
        """Drop the connection. The handler settles what depends on one."""
        self.reconnect(reason)
        self._down()
