"""A rolling restart of two pods under stock Socket.IO clients: `python -m tests.clients.rolling` plays it in full.

200 clients, by WebSocket, by polling and with both, are in rooms with history on a real Redis. One pod after the other
is replaced by a new one, as a deploy does. The exit status is 1 where a message was lost or repeated, a client did not
come back by itself and recovered, or too many came at once. It needs `npm ci` in clients/js.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from clients.conformance.sdks import node
from demo.pods import Pod
from tests.support.gateway import API_KEY, SECRET, token
from tests.support.local_redis import QUICK, RedisServer
from tests.support.node import PACKAGE
from tests.support.sticky import Sticky, sticky

ROOMS: Final = [f"kept.{number}" for number in range(4)]
_RULES: Final = '[[rooms]]\npattern = "kept.*"\nhistory = { size = 10000, ttl = 300 }\n'
_SLICE: Final = 2.0
_MOST: Final = 1.5
"""In any two seconds, this many times the mean of the drain may come."""
_PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How many clients, and the seconds of a drain."""

    clients: int
    window: float
    lead: float = 1.0
    rate: float = 20.0
    """Messages per second into each room."""


class Restart:
    """The pods, the balancer, the clients and a publisher of one rolling restart."""

    def __init__(self, plan: Plan, environ: Mapping[str, str], clients: asyncio.subprocess.Process) -> None:
        self._plan = plan
        self._environ = environ
        self._clients = clients
        self._said = 0
        self._through: Pod | None = None

    async def run(self, stack: AsyncExitStack) -> list[str]:
        """Returns what is wrong."""
        plan = self._plan
        pods = [await self._pod(stack) for _ in range(2)]
        self._through = pods[1]
        balancer = await stack.enter_async_context(sticky([pod.port for pod in pods]))
        tokens = [token(f"user-{number}") for number in range(plan.clients)]
        await self._tell({"url": f"http://127.0.0.1:{balancer.port}", "tokens": tokens, "rooms": ROOMS})
        await self._hear()
        speaking = asyncio.create_task(self._speak())
        await asyncio.sleep(0.5)
        wrong = []
        for old in pods:
            wrong += await self._replace(old, balancer, stack)
        await asyncio.sleep(0.5)
        speaking.cancel()
        return wrong + await self._judge(plan.clients)

    async def _replace(self, old: Pod, balancer: Sticky, stack: AsyncExitStack) -> list[str]:
        """Start a new pod, and drain an old one. Returns what is wrong with the pace of those who come."""
        plan = self._plan
        new = await self._pod(stack)
        self._through = new
        moving = balancer.on(old.port)
        balancer.taking = [*(port for port in balancer.taking if port != old.port), new.port]
        balancer.arrivals.clear()
        old.drain()
        if (status := await old.ended()) != 0:
            return [f"a pod ended with {status}"]
        deadline = time.monotonic() + _PATIENCE
        while len(balancer.arrivals) < moving and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        mean = moving * _SLICE / (plan.window - plan.lead)
        most = _busiest(balancer.arrivals)
        print(
            f"{len(balancer.arrivals)} of {moving} came; {most} in the busiest {_SLICE:g} s, {most / mean:.2f} x mean"
        )
        return [f"{most} came within {_SLICE:g} s, by a mean of {mean:.1f}"] if most > _MOST * mean else []

    async def _judge(self, clients: int) -> list[str]:
        deadline = time.monotonic() + _PATIENCE
        while (found := await self._report())["last"] < self._said and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        print(json.dumps(found))
        wrong = [f"{found[name]} {name}" for name in ("lost", "repeated", "disordered", "deaf") if found[name]]
        if found["connected"] != clients:
            wrong.append(f"{found['connected']} of {clients} are connected")
        if found["recovered"] != found["returns"]:
            wrong.append(f"{found['recovered']} of {found['returns']} returns were recovered")
        if found["returns"] < clients:
            wrong.append(f"{found['returns']} returns of {clients} clients")
        return wrong

    async def _pod(self, stack: AsyncExitStack) -> Pod:
        pod = Pod("pod", self._environ)
        stack.push_async_callback(pod.kill)
        await pod.start()
        return pod

    async def _speak(self) -> None:
        """Say the next number in all rooms, each with a key, so that a repetition is none."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                number = self._said + 1
                for room in ROOMS:
                    assert self._through is not None
                    url = f"http://127.0.0.1:{self._through.internal_port}/v1/rooms/{room}/messages"
                    async with session.post(url, json={"payload": number, "key": f"n{number}"}) as answer:
                        answer.raise_for_status()
                self._said = number
                await asyncio.sleep(1 / self._plan.rate)

    async def _report(self) -> dict[str, Any]:
        await self._tell({"do": "report"})
        return await self._hear()

    async def _tell(self, what: object) -> None:
        assert self._clients.stdin is not None
        self._clients.stdin.write(json.dumps(what).encode() + b"\n")
        await self._clients.stdin.drain()

    async def _hear(self) -> dict[str, Any]:
        assert self._clients.stdout is not None
        line = await asyncio.wait_for(self._clients.stdout.readline(), _PATIENCE)
        heard: dict[str, Any] = json.loads(line)
        return heard


def _busiest(moments: list[float]) -> int:
    """The number of moments in the fullest slice."""
    ordered = sorted(moments)
    return max((sum(at <= one < at + _SLICE for one in ordered) for at in ordered), default=0)


async def rolling(plan: Plan) -> list[str]:
    """Play a rolling restart. Returns what is wrong."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="forestay-rolling-")))
        redis = RedisServer(folder / "redis", *QUICK)
        stack.callback(redis.close)
        await asyncio.to_thread(redis.start)
        rooms = folder / "rooms.toml"
        rooms.write_text(_RULES)
        environ = {
            "FORESTAY_JWT_SECRET": SECRET,
            "FORESTAY_API_KEY": API_KEY,
            "FORESTAY_BUS_URL": redis.url,
            "FORESTAY_ROOMS_FILE": str(rooms),
            "FORESTAY_SOCKETIO": "true",
            "FORESTAY_DEFAULT_RIGHTS": "**:rwph",
            "FORESTAY_DRAIN_WINDOW": f"{plan.window:g}",
            "FORESTAY_DRAIN_LEAD": f"{plan.lead:g}",
        }
        pipe = asyncio.subprocess.PIPE
        script = str(Path(__file__).with_name("socketio_swarm.mjs"))
        clients = await asyncio.create_subprocess_exec(node(), script, cwd=PACKAGE, stdin=pipe, stdout=pipe)
        try:
            return await Restart(plan, environ, clients).run(stack)
        finally:
            clients.kill()
            await clients.wait()


def main() -> int:
    """Play it in full; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.clients.rolling", description=__doc__)
    parser.add_argument("--clients", type=int, default=200, help="clients in all (200)")
    parser.add_argument("--window", type=float, default=30.0, help="seconds of each drain (30)")
    given = parser.parse_args()
    wrong = asyncio.run(rolling(Plan(given.clients, given.window)))
    print("\n".join(wrong) or "nothing lost, nothing repeated, all back and recovered, and evenly")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
