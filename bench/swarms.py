"""Many clients of an SDK in a process of their own, and two pods on one Redis behind a balancer for them."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.crowd import SECRET, token
from bench.servers import HERE, OURS, ROOT
from clients.conformance.sdks import NAMES, Lacking, command, node
from demo.balancer import Balancer
from demo.pods import Pod
from tests.support.local_redis import QUICK, RedisServer

API_KEY = "bench-api-key-of-at-least-32-bytes"
PATIENCE = 120.0
"""Seconds. Thousands of clients come in on a busy machine."""
_ROOMS = '[[rooms]]\npattern = "**"\n[rooms.history]\nsize = 10000\nttl = 300\n'


def runnable(names: Sequence[str]) -> list[str]:
    """Those SDKs that can run here; the others are said to be left out."""
    found = []
    for name in names:
        try:
            command(name)
        except Lacking as lacking:
            print(f"left out: {name}, because {lacking}")
        else:
            found.append(name)
    return found


class Swarm:
    """A process of clients: see bench/swarm.py for what is said on its pipes."""

    def __init__(self, process: asyncio.subprocess.Process, tokens: Sequence[str]) -> None:
        self._process = process
        self.tokens = tokens

    async def phase(self) -> None:
        """The next one begins."""
        await self.tell({"do": "phase"})

    async def report(self) -> dict[str, Any]:
        await self.tell({"do": "report"})
        return await self.hear()

    async def tell(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()

    async def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        heard: dict[str, Any] = json.loads(line)
        return heard


@asynccontextmanager
async def swarm(sdk: str, url: str, clients: int, rooms: Sequence[str]) -> AsyncIterator[Swarm]:
    """So many clients of an SDK, each in one of the rooms."""
    assert sdk in NAMES
    tokens = [token(f"user-{number}") for number in range(clients)]
    command = [sys.executable, "-m", "bench.swarm"] if sdk == "python" else [node(), str(HERE / "node" / "swarm.mjs")]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        here = Swarm(process, tokens)
        await here.tell({"url": url, "tokens": tokens, "rooms": list(rooms)})
        await here.hear()
        yield here
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Two pods behind a balancer that sends all new connections to the first one."""

    old: Pod
    new: Pod
    balancer: Balancer


@asynccontextmanager
async def deployment(**environ: str) -> AsyncIterator[Deployment]:
    """Two pods on one Redis, and `environ` on top of their settings."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = RedisServer(folder / "redis", *QUICK)
        stack.callback(redis.close)
        await asyncio.to_thread(redis.start)
        rooms = folder / "rooms.toml"
        rooms.write_text(_ROOMS)
        ours = {"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_API_KEY": API_KEY, "FORESTAY_BUS_URL": redis.url}
        pods = [Pod(name, OURS | ours | {"FORESTAY_ROOMS_FILE": str(rooms)} | environ) for name in ("old", "new")]
        for pod in pods:
            stack.push_async_callback(pod.kill)
            await pod.start()
        balancer = Balancer([pods[0].port])
        await balancer.open()
        stack.push_async_callback(balancer.close)
        old, new = pods
        yield Deployment(old, new, balancer)
