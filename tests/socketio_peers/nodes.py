"""Two nodes of a server on one Redis: of Forestay, or of the real Socket.IO with one of its Redis adapters."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import aiohttp

from demo.pods import Pod
from tests.socketio_peers.install import javascript, node_command
from tests.support.local_redis import QUICK, RedisServer

SECRET: Final = "a secret for tests only, long enough for HS256"
_API_KEY: Final = "an API key for tests only, of 32 bytes or more"
SERVERS: Final = ("pubsub", "streams", "forestay")
"""The real server with either adapter, and ours."""
_ROOMS: Final = """
[[rooms]]
pattern = "kept.*"
[rooms.history]
size = 100
ttl = 60
[[rooms]]
pattern = "lobby"
join_leave = true
[[events]]
event = "chat message"
room = "chat.{0}"
[[namespaces]]
path = "/admin"
"""
_SETTINGS: Final = {
    "FORESTAY_SOCKETIO": "true",
    "FORESTAY_JWT_SECRET": SECRET,
    "FORESTAY_API_KEY": _API_KEY,
    "FORESTAY_DRAIN_WINDOW": "1",
    "FORESTAY_PRESENCE_GRACE": "0",
    # The page of the script has another port.
    "FORESTAY_ALLOWED_ORIGINS": "*",
}


class Node(Protocol):
    """One node, and what a backend asks it for."""

    @property
    def port(self) -> int: ...

    async def start(self) -> None: ...

    async def emit(self, room: str, event: str, args: list[Any]) -> None:
        """Send an event to a room."""

    async def disconnect(self, user: str) -> None:
        """End the connections of a user."""

    async def stop(self) -> None:
        """Stop as a deploy does, and return when the process has ended."""


class RealNode:
    """A process of peer/server.mjs."""

    def __init__(self, redis: str, adapter: str) -> None:
        self._arguments = (redis, SECRET, adapter)
        self._process: asyncio.subprocess.Process | None = None
        self.port = 0

    async def start(self) -> None:
        command = (node_command(), str(javascript() / "server.mjs"), *self._arguments)
        self._process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def emit(self, room: str, event: str, args: list[Any]) -> None:
        await self._ask("emit", {"room": room, "event": event, "args": args})

    async def disconnect(self, user: str) -> None:
        await self._ask("disconnect", {"user": user})

    async def stop(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _ask(self, what: str, said: dict[str, Any]) -> None:
        url = f"http://127.0.0.1:{self.port}/{what}"
        async with aiohttp.request("POST", url, json=said) as answer:
            answer.raise_for_status()


class ForestayNode:
    """A pod of this tree."""

    def __init__(self, redis: str, rooms: Path) -> None:
        self._pod = Pod("pod", _SETTINGS | {"FORESTAY_BUS_URL": redis, "FORESTAY_ROOMS_FILE": str(rooms)})

    @property
    def port(self) -> int:
        return self._pod.port

    async def start(self) -> None:
        await self._pod.start()

    async def emit(self, room: str, event: str, args: list[Any]) -> None:
        await self._ask("POST", f"rooms/{room}/messages", {"event": event, "payload": args})

    async def disconnect(self, user: str) -> None:
        await self._ask("DELETE", f"users/{user}/connections", None)

    async def stop(self) -> None:
        self._pod.drain()
        try:
            await asyncio.wait_for(self._pod.ended(), 20)
        except TimeoutError:
            await self._pod.kill()

    async def _ask(self, method: str, path: str, said: dict[str, Any] | None) -> None:
        url = f"http://127.0.0.1:{self._pod.internal_port}/v1/{path}"
        headers = {"Authorization": f"Bearer {_API_KEY}"}
        async with aiohttp.request(method, url, json=said, headers=headers) as answer:
            answer.raise_for_status()


@asynccontextmanager
async def nodes(server: str) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes of `server` on one Redis of their own."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forestay-peers-")))
        redis = RedisServer(folder / "redis", *QUICK)
        stack.callback(redis.close)
        await asyncio.to_thread(redis.start)
        rooms = folder / "rooms.toml"
        rooms.write_text(_ROOMS)

        def made() -> Node:
            return ForestayNode(redis.url, rooms) if server == "forestay" else RealNode(redis.url, server)

        pair = (made(), made())
        for one in pair:
            await one.start()
            stack.push_async_callback(one.stop)
        yield pair


def environment() -> dict[str, str]:
    """The environment of a client: no setting of a gateway."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FORESTAY_")}
