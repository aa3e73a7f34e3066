"""Runs servers side by side under the same load in short turns, so that noise of the machine affects all of them.

Noise from other machines on the host lasts for seconds. In shorter turns it affects all servers equally: two equal
servers then differ by a hundredth, and by a twentieth in turns of a second and a half.
"""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple, Protocol

from bench.rounds import Figures
from bench.servers import Running
from forestay.terminal.crowd import Crowd, percentile

_TURN = 0.15
LOST = "lost"
"""The figure that counts missing deliveries."""


class Work(Protocol):
    """The load on a server, one turn at a time, and the figures of all turns."""

    def turn(self, seconds: float) -> None:
        """Do the work of one turn of `seconds`."""

    def figures(self, cpu: float) -> Figures:
        """The figures, where the server used `cpu` seconds of CPU time."""

    def close(self) -> None:
        """Close the connections to the server."""


class Load(Protocol):
    crowd: Crowd

    def run(self, seconds: float) -> int:
        """Put the load on for `seconds`. Returns how many messages are expected."""


class Deliveries:
    """A load whose messages are counted as they arrive."""

    def __init__(self, load: Load, warm_up: float = 1.0) -> None:
        self._load = load
        self._due = self._came = 0
        self._latencies: list[int] = []
        self._own = self._passed = 0.0
        load.run(warm_up)

    def turn(self, seconds: float) -> None:
        crowd = self._load.crowd
        crowd.reset()
        own, started = time.process_time(), time.monotonic()
        self._due += self._load.run(seconds)
        self._own += time.process_time() - own
        self._passed += time.monotonic() - started
        self._came += crowd.count
        self._latencies += crowd.latencies

    def figures(self, cpu: float) -> Figures:
        return {
            "us CPU/delivery": cpu / self._due * 1e6,
            "p50 ms": percentile(self._latencies, 0.5) / 1e6,
            "p99 ms": percentile(self._latencies, 0.99) / 1e6,
            LOST: self._due - self._came,
            "generator CPU %": self._own / self._passed * 100,
        }

    def close(self) -> None:
        self._load.crowd.close()


class Turns(NamedTuple):
    """How many turns each server takes, and how long each of them is."""

    number: int
    seconds: float = _TURN

    @classmethod
    def within(cls, seconds: float) -> "Turns":
        """Short turns of `seconds` in total."""
        number = max(1, round(seconds / _TURN))
        return cls(number, seconds / number)


class Seat:
    """A server, its work, and the results of the turns."""

    def __init__(self, server: Running, work: Work) -> None:
        self._server = server
        self._work = work
        self._since = 0.0
        self.in_turns = 0.0
        """CPU seconds during the turns."""
        self.cpu = 0.0
        """CPU seconds since the first turn, including the time between turns, in which the server finishes its work."""

    def begin(self) -> None:
        """The work that is done only once is finished."""
        self._since = self._server.cpu()

    def take_turn(self, seconds: float) -> None:
        before = self._server.cpu()
        self._work.turn(seconds)
        self.in_turns += self._server.cpu() - before

    def end(self) -> None:
        """All turns have ended."""
        self.cpu = self._server.cpu() - self._since

    def figures(self, cpu: float) -> Figures:
        return self._work.figures(cpu)


def sit(
    servers: Mapping[str, AbstractContextManager[Running]],
    work: Callable[[str, Running], Work],
    turns: Turns,
    evaluate: Callable[[Mapping[str, Seat]], dict[str, Figures]],
    *,
    rest: float,
) -> dict[str, Figures]:
    """Start the servers, let each take its turns, and compute the figures.

    `work` makes the load of a case. `rest`: seconds without load before the first turn and after the last one.
    """
    with ExitStack() as stack:
        seats: dict[str, Seat] = {}
        # The order changes each time, so that none is always the first to take memory or always behind the slowest one.
        for case in _shuffled(servers):
            server = stack.enter_context(servers[case])
            made = work(case, server)
            stack.callback(made.close)
            seats[case] = Seat(server, made)
        time.sleep(rest)
        for seat in seats.values():
            seat.begin()
        for _ in range(turns.number):
            for case in _shuffled(seats):
                seats[case].take_turn(turns.seconds)
        time.sleep(rest)
        for seat in seats.values():
            seat.end()
        return evaluate(seats)


def sittings(rounds: int, sitting: Callable[[], dict[str, Figures]], found: dict[str, list[Figures]]) -> None:
    """Run `rounds` sittings with newly started servers, and add the figures of each case to `found`."""
    for _ in range(rounds):
        for case, figures in sitting().items():
            of_case = found.setdefault(case, [])
            of_case.append(figures)
            shown = "  ".join(f"{key} {value:,.1f}" for key, value in figures.items())
            print(f"  round {len(of_case)} {case:<18} {shown}", flush=True)


def _shuffled(cases: Mapping[str, object]) -> list[str]:
    return random.sample(list(cases), len(cases))
