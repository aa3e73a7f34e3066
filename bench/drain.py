"""A pod drains under 200 clients of each SDK at 50 messages/s: losses, repeats and latency."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import aiohttp

from bench.chart import Bars
from bench.rounds import Figures, options, report
from bench.swarms import API_KEY, PATIENCE, Deployment, Swarm, deployment, runnable, swarm
from demo.balancer import Passage
from demo.pods import Pod
from forestay.terminal.crowd import raise_file_limit

RATE = 50.0
ROOMS = [f"bench.{number}" for number in range(4)]
_WARM, _BEFORE, _DURING = range(3)


class Publisher:
    """A backend that publishes ascending numbers to each room at the same rate."""

    def __init__(self, pod: Pod, rooms: Sequence[str]) -> None:
        self._url = f"http://127.0.0.1:{pod.internal_port}/v1/rooms"
        self._rooms = rooms
        self._over = asyncio.Event()

    async def speak(self) -> int:
        """Publish until `stop` is set. Returns the last number, which is the same in every room."""
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {API_KEY}"}) as session:
            number, started = 0, time.monotonic()
            while not self._over.is_set():
                number += 1
                await asyncio.gather(*(self._say(session, room, number) for room in self._rooms))
                await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))
            return number

    def stop(self) -> None:
        self._over.set()

    async def _say(self, session: aiohttp.ClientSession, room: str, number: int) -> None:
        said = {"payload": {"n": number}, "key": f"n{number}"}
        async with session.post(f"{self._url}/{room}/messages", json=said) as answer:
            answer.raise_for_status()


async def drained(sdk: str, clients: int, seconds: float) -> Figures:
    """One drain of `seconds`, after the same time without one."""
    window = {"FORESTAY_DRAIN_WINDOW": f"{seconds:g}"}
    async with deployment(**window) as here, swarm(sdk, here.balancer.url, clients, ROOMS) as crowd:
        publisher = Publisher(here.new, ROOMS)
        speaking = asyncio.create_task(publisher.speak())
        await asyncio.sleep(2)
        await crowd.phase()
        await asyncio.sleep(seconds)
        await crowd.phase()
        here.balancer.rest(here.old.port)
        here.balancer.add(here.new.port)
        here.old.drain()
        if (status := await here.old.ended()) != 0:
            raise RuntimeError(f"the pod that drained ended with {status}")
        await crowd.phase()
        publisher.stop()
        found = await _caught_up(crowd, await speaking)
        return {
            "lost": found["lost"] + found["deaf"],
            "repeated": found["repeated"],
            "out of order": found["disordered"],
            "changes of state": found["changes"],
            "least overlap, ms": _least_overlap(here) * 1000,
            "longest gap before, ms": found["gaps"][_BEFORE] * 1000,
            "longest gap, ms": found["gaps"][_DURING] * 1000,
            "gap by gap before": found["gaps"][_DURING] / found["gaps"][_BEFORE],
        }


async def _caught_up(crowd: Swarm, last: int) -> dict[str, Any]:
    """The report, once all clients have the last number or the time limit has passed."""
    deadline = time.monotonic() + PATIENCE
    while (found := await crowd.report())["last"] < last and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return found


def _least_overlap(here: Deployment) -> float:
    """The least seconds for which a client had two connections; negative where a client had none for a while."""
    by_token: defaultdict[str, list[Passage]] = defaultdict(list)
    for passage in here.balancer.passages:
        if passage.answered is not None and passage.token is not None:
            by_token[passage.token].append(passage)
    return min(
        (earlier.ended or time.monotonic()) - (later.answered or 0)
        for passages in by_token.values()
        for earlier, later in pairwise(passages)
    )


def main() -> None:
    given = options(__doc__, "python,js", seconds=30).parse_args()
    raise_file_limit()
    clients = 200
    if given.quick:
        given.rounds, given.seconds, clients = 1, 4.0, 20
    names = runnable(given.servers.split(","))
    found: dict[str, list[Figures]] = {name: [] for name in names}
    for turn in range(given.rounds):
        for name in names:
            figures = asyncio.run(drained(name, clients, given.seconds))
            found[name].append(figures)
            shown = "  ".join(f"{key} {value:,.2f}" for key, value in figures.items())
            print(f"  round {turn + 1} {name:<8} {shown}", flush=True)
    title = f"A drain of {given.seconds:g} s under {clients} clients at {RATE:g} messages/s each"
    bars = Bars("gap by gap before", "longest gap between messages, by that before the drain", "less is better")
    report("drain", title, found, bars, keep=not given.quick)


if __name__ == "__main__":
    main()
