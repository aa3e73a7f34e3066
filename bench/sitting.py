"""Servers side by side, under the same load in short turns: what the machine does, it does to all of them.

A neighbour of the machine is heard for seconds. In turns shorter than that everybody hears it alike: two equal servers
differ by a hundredth then, and by a twentieth in turns of a second and a half.
"""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Protocol

from bench.rounds import Figures
from bench.servers import Running, running
from forestay.terminal.crowd import Crowd, percentile

_TURN = 0.15
_SENDING = 5.0
"""Seconds after which a server sends what spans it has, as the specification wants it."""


class Load(Protocol):
    crowd: Crowd

    def run(self, seconds: float) -> int:
        """Put the load on for so long; how many messages are to arrive."""


class _Seat:
    """A server, its load, and what came of their turns."""

    def __init__(self, server: Running, load: Load) -> None:
        self._server = server
        self._load = load
        self._due = self._came = 0
        self._latencies: list[int] = []
        self.in_turns = 0.0
        """CPU seconds while the load was on."""
        load.run(1.0)
        self._since = 0.0

    def begin(self) -> None:
        """Whatever is done once has been done."""
        self._since = self._server.cpu()

    def take_turn(self, seconds: float) -> None:
        crowd = self._load.crowd
        crowd.reset()
        before = self._server.cpu()
        self._due += self._load.run(seconds)
        self.in_turns += self._server.cpu() - before
        self._came += crowd.count
        self._latencies += crowd.latencies

    def cpu(self) -> float:
        """CPU seconds since the first turn, those between the turns included: there spans are sent."""
        return self._server.cpu() - self._since

    def figures(self, cpu: float) -> Figures:
        return {
            "us CPU/delivery": cpu / self._due * 1e6,
            "p50 ms": percentile(self._latencies, 0.5) / 1e6,
            "p99 ms": percentile(self._latencies, 0.99) / 1e6,
            "lost": self._due - self._came,
        }


def sit(
    environs: Mapping[str, Mapping[str, str]], load: Callable[[Running], Load], *, seconds: float
) -> dict[str, Figures]:
    """One server for each of `environs`, and `seconds` of load on each of them in turns.

    The first one does nothing between its turns but what it takes to be there. That is on nobody's account. A server
    that has a load for a fourth of the time waits four times as long before it sends: a message's share of a request is
    then what it is where the load does not pause.
    """
    sending = _SENDING * len(environs)
    rest = sending + 1.0
    with ExitStack() as stack:
        seats: dict[str, _Seat] = {}
        for case, more in environs.items():
            # A crowd reads only during its turns, and never answers a ping.
            environ = {"OTEL_BSP_SCHEDULE_DELAY": f"{sending * 1000:.0f}", **more}
            server = stack.enter_context(running("forestay", FORESTAY_PING_INTERVAL="3600", **environ))
            made = load(server)
            stack.callback(made.crowd.close)
            seats[case] = _Seat(server, made)
        # The first batch of spans takes its sender as long as hundreds of later ones: it loads what it sends with.
        time.sleep(rest)
        for seat in seats.values():
            seat.begin()
        turns = max(1, round(seconds / _TURN))
        for _ in range(turns):
            # In another order each time, so that none is always behind the dearest.
            for seat in random.sample(list(seats.values()), len(seats)):
                seat.take_turn(seconds / turns)
        time.sleep(rest)
        cpu = {case: seat.cpu() for case, seat in seats.items()}
        first = next(iter(seats))
        idle = cpu[first] - seats[first].in_turns
        return {case: seat.figures(cpu[case] - idle) for case, seat in seats.items()}


def sittings(
    rounds: int, environs: Mapping[str, Mapping[str, str]], load: Callable[[Running], Load], *, seconds: float
) -> dict[str, list[Figures]]:
    """Sit `rounds` times, with servers that were started anew."""
    found: dict[str, list[Figures]] = {case: [] for case in environs}
    for number in range(rounds):
        for case, figures in sit(environs, load, seconds=seconds).items():
            found[case].append(figures)
            shown = "  ".join(f"{key} {value:,.1f}" for key, value in figures.items())
            print(f"  round {number + 1} {case:<18} {shown}", flush=True)
    return found
