"""2,000 clients of each SDK lose their connection at the same moment: how they spread their reconnects."""

import asyncio
import time
from collections.abc import Sequence

from bench.chart import Bars
from bench.rounds import Figures, options, report
from bench.swarms import PATIENCE, deployment, runnable, swarm
from forestay.terminal.crowd import raise_file_limit

SPREAD = 2.0
"""Seconds: the default of FORESTAY_RECONNECT_SPREAD."""
_SLICE = 0.5
ROOMS = [f"bench.{number}" for number in range(20)]


async def storm(sdk: str, clients: int) -> Figures:
    """Cut all connections at once. Returns when each client asked for its next connection, and when all were back."""
    async with deployment() as here, swarm(sdk, here.balancer.url, clients, ROOMS) as crowd:
        # A connection that lived for ten seconds counts as stable, so its loss starts a new back-off.
        await asyncio.sleep(12)
        before = len(here.balancer.passages)
        cut = time.monotonic()
        here.balancer.cut()
        here.balancer.add(here.new.port)
        deadline = cut + PATIENCE
        while time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            if len(here.balancer.passages) >= before + clients and (await crowd.report())["connected"] == clients:
                break
        back = time.monotonic() - cut
        came = sorted(passage.came - cut for passage in here.balancer.passages[before:])
        # A client is late only because this machine is busy. That does not make the mean smaller.
        mean = clients * _SLICE / SPREAD
        return {
            "busiest 500 ms": _busiest(came),
            "by the mean": _busiest(came) / mean,
            "asked": len(came),
            "last asked, s": came[-1],
            "all back, s": back,
        }


def _busiest(moments: Sequence[float]) -> int:
    """The number of the sorted moments in the fullest slice."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - _SLICE:
            first += 1
        most = max(most, last - first + 1)
    return most


def main() -> None:
    given = options(__doc__, "python,js", seconds=0).parse_args()
    raise_file_limit()
    clients = 2000
    if given.quick:
        given.rounds, clients = 1, 100
    names = runnable(given.servers.split(","))
    found: dict[str, list[Figures]] = {name: [] for name in names}
    for turn in range(given.rounds):
        for name in names:
            figures = asyncio.run(storm(name, clients))
            found[name].append(figures)
            shown = "  ".join(f"{key} {value:,.2f}" for key, value in figures.items())
            print(f"  round {turn + 1} {name:<8} {shown}", flush=True)
    title = f"{clients:,} clients lose their connection at once, and come back over {SPREAD:g} s"
    bars = Bars("by the mean", "connections asked for in the busiest 500 ms, by the mean", "less is better")
    report("storm", title, found, bars, keep=not given.quick)


if __name__ == "__main__":
    main()
