"""Clients come and go for minutes or hours while pods drain and Redis restarts: what grows in a pod fails it."""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.checkouts import ROOT
from bench.door_lives import crowd
from bench.servers import OURS
from bench.slope import grows, slope
from forestay.terminal.crowd import raise_file_limit
from tests.support.exposition import scrape
from tests.support.local_redis import QUICK, RedisServer, free_port

_ROOMS = """
[[rooms]]
pattern = "soak.busy"
slow = "disconnect"
[[rooms]]
pattern = "soak.*"
join_leave = true
[rooms.history]
size = 50
ttl = 10
"""
_SETTINGS: Final = {
    "FORESTAY_PRESENCE_LEASE": "6",
    "FORESTAY_PRESENCE_GRACE": "1",
    "FORESTAY_CLOSE_TIMEOUT": "2",
    "FORESTAY_DRAIN_WINDOW": "3",
    "FORESTAY_SEND_BUFFER_BYTES": "65536",
    "FORESTAY_LOG_LEVEL": "ERROR",
    "FORESTAY_SOCKETIO": "true",
    # A client that polls and vanishes is gone after both.
    "FORESTAY_PING_INTERVAL": "5",
    "FORESTAY_SOCKETIO_PING_TIMEOUT": "3",
}

LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "RSS, MiB": (1.0, 2.0),
    "blocks, thousands": (5.0, 10.0),
    # These follow how fast the clients come, and so how busy the machine is. What is left at the end is exact.
    "tasks": (10.0, 100.0),
    "timers": (50.0, 300.0),
    "files": (10.0, 30.0),
    "subscriptions": (20.0, 60.0),
    "Redis keys": (200.0, 300.0),
    "present users": (20.0, 100.0),
}
"""What may grow: per hour, and within the measured time in any case, which is the noise of the figure."""
_LEFT: Final = {"tasks": 3, "files": 3, "subscriptions": 0, "present users": 0, "keys of presence": 0}
"""What may be left above the beginning once all clients have gone."""


class Pod:
    """A gateway process that can be asked what it holds."""

    def __init__(self, folder: Path, url: str) -> None:
        self.port, self.internal_port = free_port(), free_port()
        self._file = folder / f"held-{self.port}"
        self._environ = os.environ | OURS | _SETTINGS | {"FORESTAY_BUS_URL": url}
        self._environ |= {"FORESTAY_ROOMS_FILE": str(folder / "rooms.toml"), "PYTHONPATH": f"{ROOT / 'app'}:{ROOT}"}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [sys.executable, "-P", "-m", "bench.inside", str(self._file), "serve", "--host", "127.0.0.1"]
        ports = ["--port", str(self.port), "--internal-port", str(self.internal_port)]
        self._process = await asyncio.create_subprocess_exec(*command, *ports, env=self._environ)
        async with asyncio.timeout(60):
            while not await self._answers():
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Drain it, and start it no more."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(30):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def held(self) -> dict[str, float]:
        """What the process holds now."""
        assert self._process is not None
        self._file.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(30):
            while not self._file.exists():
                await asyncio.sleep(0.02)
        inside = json.loads(self._file.read_text())
        metrics = await scrape(self.internal_port)
        return {
            "RSS, MiB": metrics["process_resident_memory_bytes"] / 2**20,
            "blocks, thousands": inside["blocks"] / 1000,
            "tasks": inside["tasks"],
            "timers": inside["timers"],
            "files": metrics["process_open_fds"],
            "present users": metrics["forestay_presence_users"],
        }

    async def _answers(self) -> bool:
        try:
            await scrape(self.internal_port)
        except OSError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how many, and how often something breaks. Times in seconds."""

    seconds: float
    clients: int
    trouble: float
    """Between two events: a drain of the second pod, or a restart of Redis."""

    @property
    def warm_up(self) -> float:
        """What is not measured: caches fill, and memory finds its size."""
        return min(300.0, self.seconds / 4)


class Soak:
    """Two pods on one Redis. The first one lives from beginning to end and is measured, the second one drains often."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        (folder / "rooms.toml").write_text(_ROOMS)
        self._plan = plan
        self._redis = RedisServer(folder / "redis", *QUICK)
        self._pod = Pod(folder, self._redis.url)
        self._other = Pod(folder, self._redis.url)
        self._over = asyncio.Event()
        self.lives: Counter[str] = Counter()
        self.samples: list[tuple[float, dict[str, float]]] = []
        self._last: dict[str, float] = {}

    async def run(self) -> list[str]:
        """Run it all; what is wrong."""
        self._redis.start()
        try:
            async with self._started(), asyncio.TaskGroup() as group:
                before = await self._sample()
                tasks = [group.create_task(work) for work in (self._crowd(), self._trouble())]
                await self._watch()
                self._over.set()
                await asyncio.wait(tasks)
                # Presence and histories end by themselves.
                await asyncio.sleep(10)
                after = await self._sample()
        finally:
            self._redis.close()
        return self._growing() + _left(before, after)

    @asynccontextmanager
    async def _started(self) -> AsyncIterator[None]:
        await self._pod.start()
        await self._other.start()
        try:
            yield
        finally:
            await self._other.stop()
            await self._pod.stop()

    async def _crowd(self) -> None:
        await crowd((self._pod.port, self._other.port), self._plan.clients, self._over, self.lives)

    async def _trouble(self) -> None:
        """Drain the second pod and restart Redis, in turn."""
        while True:
            for event in (self._drain, self._restart):
                try:
                    await asyncio.wait_for(self._over.wait(), self._plan.trouble)
                except TimeoutError:
                    await event()
                else:
                    return

    async def _drain(self) -> None:
        await self._other.stop()
        await self._other.start()
        self.lives["drains"] += 1

    async def _restart(self) -> None:
        self._redis.kill()
        await asyncio.to_thread(self._redis.start)
        self.lives["restarts of Redis"] += 1

    async def _watch(self) -> None:
        started, every = time.monotonic(), min(5.0, self._plan.seconds / 60)
        said = started
        while (now := time.monotonic()) - started < self._plan.seconds:
            await asyncio.sleep(every)
            sample = await self._sample()
            if now - started >= self._plan.warm_up:
                self.samples.append((now, sample))
            if now - said >= min(60.0, self._plan.seconds / 10):
                said = now
                shown = "  ".join(f"{name} {value:,.1f}" for name, value in sample.items())
                print(f"  {now - started:6.0f} s  {shown}", flush=True)

    async def _sample(self) -> dict[str, float]:
        found = await self._pod.held()
        try:
            found |= await asyncio.to_thread(self._asked)
        except (OSError, TypeError):
            # Redis restarts now: this sample has the figures of the one before.
            found = self._last | found
        self._last = found
        return found

    def _asked(self) -> dict[str, float]:
        channels, keys = self._redis.do("PUBSUB", "CHANNELS"), self._redis.do("KEYS", "*")
        assert isinstance(channels, list)
        assert isinstance(keys, list)
        present = sum(1 for key in keys if key.split(b":")[2] in (b"n", b"u"))
        return {"subscriptions": len(channels), "Redis keys": len(keys), "keys of presence": present}

    def _growing(self) -> list[str]:
        times = [at for at, _ in self.samples]
        wrong = []
        print(f"\n{'':<18} | {'median':>10} | {'per hour':>10} | {'at least':>10} | {'limit':>8} |")
        for name, (limit, noise) in LIMITS.items():
            values = [sample[name] for _, sample in self.samples]
            found = slope(times, values)
            print(
                f"{name:<18} | {statistics.median(values):>10,.1f} | {found.middle:>+10,.1f} | {found.least:>+10,.1f} "
                f"| {limit:>8,.0f} |"
            )
            if grows(found, limit, noise):
                wrong.append(f"{name} grow by {found.middle:,.1f} an hour")
        return wrong


def _left(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    print("\nwhen all have gone, above the beginning: ", end="")
    print(", ".join(f"{name} {after[name] - before[name]:+,.1f}" for name in after))
    return [
        f"{after[name] - before[name]:,.0f} {name} stay when all have gone"
        for name, most in _LEFT.items()
        if after[name] - before[name] > most
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long clients come and go (10)")
    parser.add_argument("--clients", type=int, default=150, help="clients at the same time (150)")
    parser.add_argument("--trouble", type=float, help="seconds between a drain and a restart of Redis (a tenth)")
    parser.add_argument("--quick", action="store_true", help="half a minute, which shows that it works")
    given = parser.parse_args()
    seconds, clients = (30.0, 30) if given.quick else (given.minutes * 60, given.clients)
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="forestay-soak-") as folder:
        soak = Soak(Path(folder), Plan(seconds, clients, given.trouble or seconds / 10))
        wrong = asyncio.run(soak.run())
    print(
        f"\n{sum(soak.lives.values()):,} lives and events: "
        + ", ".join(f"{n:,} {what}" for what, n in soak.lives.items())
    )
    print("\n".join(wrong) or "nothing grows, and nothing is left")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
