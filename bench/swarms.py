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

from bench.checkouts import ROOT
from bench.crowd import SECRET, token
from bench.servers import HERE, OURS
from clients.conformance.sdks import NAMES, Lacking, command, node
from demo.balancer import Balancer
from demo.pods import Pod
from tests.support.local_redis import QUICK, RedisServer

API_KEY = "bench-api-key-of-at-least-32-bytes"
PROCESSES = 4
"""Clients that share a process wait for each other, so each process has only some of them."""
PATIENCE = 120.0
"""Seconds. Thousands of clients connect on a busy machine."""
_ROOMS = '[[rooms]]\npattern = "**"\n[rooms.history]\nsize = 10000\nttl = 300\n'


def runnable(names: Sequence[str]) -> list[str]:
    """The SDKs that can run here. Prints which ones are left out."""
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
    """Some processes of clients. bench/swarm.py describes the lines on their pipes."""

    def __init__(self, processes: Sequence[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    async def phase(self) -> None:
        """Begin the next phase."""
        for process in self._processes:
            await _tell(process, {"do": "phase"})

    async def report(self) -> dict[str, Any]:
        """The results of all of them, added up."""
        for process in self._processes:
            await _tell(process, {"do": "report"})
        found = [await _hear(process) for process in self._processes]
        summed = {name: sum(one[name] for one in found) for name in found[0] if name not in ("last", "gaps")}
        gaps = [max(gap) for gap in zip(*(one["gaps"] for one in found), strict=True)]
        return summed | {"last": min(one["last"] for one in found), "gaps": gaps}


async def _tell(process: asyncio.subprocess.Process, what: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(what).encode() + b"\n")
    await process.stdin.drain()


async def _hear(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        line = await process.stdout.readline()
    heard: dict[str, Any] = json.loads(line)
    return heard


@asynccontextmanager
async def swarm(sdk: str, url: str, clients: int, rooms: Sequence[str]) -> AsyncIterator[Swarm]:
    """`number` clients of an SDK, each in one of the rooms."""
    assert sdk in NAMES
    command = [sys.executable, "-m", "bench.swarm"] if sdk == "python" else [node(), str(HERE / "node" / "swarm.mjs")]
    processes: list[asyncio.subprocess.Process] = []
    try:
        for number in range(PROCESSES):
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
            processes.append(process)
            tokens = [token(f"user-{one}") for one in range(number, clients, PROCESSES)]
            await _tell(process, {"url": url, "tokens": tokens, "rooms": list(rooms)})
        for process in processes:
            await _hear(process)
        yield Swarm(processes)
    finally:
        for process in processes:
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
