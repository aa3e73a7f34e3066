"""A busy room of 800, with and without 500 joins and 500 leaves a second by others."""

import time
from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Case, Figures, measure, options, ratio, report
from bench.servers import Running
from forestay.terminal.crowd import join, leave, message, percentile, send

_JOIN, _LEAVE = join("bench.busy"), leave("bench.busy")


class Churn:
    """`rate` messages a second to `members`, while `moves` clients join and `moves` clients leave each second."""

    def __init__(self, server: Running, *, members: int, rate: float, moves: float) -> None:
        self.crowd = crowd_at(server.port)
        self._room = self.crowd.connect("bench.busy", members, sample=20)
        self._movers = self.crowd.connect("bench.elsewhere", 200, sample=10**6)
        self._rate = rate
        self._moves = moves
        self._seconds = 0.0
        self._said = self._moved = 0
        self.turn(1.0)
        self.crowd.reset()
        # The moves continue after the warm-up: a client that has joined has to leave next.
        self._said, self._moved_before, self._seconds = 0, self._moved, 0.0

    def turn(self, seconds: float) -> None:
        said, moved, started = self._said, self._moved, time.monotonic()
        while (elapsed := time.monotonic() - started) < seconds:
            while self._said - said < elapsed * self._rate:
                send(self._room[0], message("bench.busy"))
                self._said += 1
            # All clients join, then all leave: each is half of the moves.
            while self._moved - moved < elapsed * self._moves * 2:
                at = self._moved % len(self._movers)
                send(self._movers[at], _LEAVE if self._moved // len(self._movers) % 2 else _JOIN)
                self._moved += 1
            self.crowd.read(0.001)
        heard = -1
        while heard != self.crowd.count:
            heard = self.crowd.count
            self.crowd.read(0.05)
        self._seconds += seconds

    def figures(self, cpu: float) -> Figures:
        return {
            "server CPU %": cpu / self._seconds * 100,
            "us CPU/message": cpu / self._said * 1e6,
            "p50 ms": percentile(self.crowd.latencies, 0.5) / 1e6,
            "p99 ms": percentile(self.crowd.latencies, 0.99) / 1e6,
            "messages/s": self._said / self._seconds,
            "moves/s": (self._moved - self._moved_before) / self._seconds,
        }

    def close(self) -> None:
        self.crowd.close()


def churn(server: Running, *, members: int, rate: float, moves: float, seconds: float) -> Figures:
    """The room with `moves` each second, or without any."""
    load = Churn(server, members=members, rate=rate, moves=moves)
    cpu = server.cpu()
    load.turn(seconds)
    figures = load.figures(server.cpu() - cpu)
    load.close()
    return figures


def main() -> None:
    given = options(__doc__, "forestay", seconds=6).parse_args()
    members, rate = 800, 300.0
    if given.quick:
        given.rounds, given.seconds, members = 1, 1.0, 50
    work = partial(churn, members=members, rate=rate, seconds=given.seconds)
    quiet = Case("quiet", given.servers, partial(work, moves=0.0))
    busy = Case("500 joins+leaves/s", given.servers, partial(work, moves=500.0))
    title = f"Churn: a room of {members} at {rate:g} messages/s"
    bars = Bars("server CPU %", "CPU of the server, percent", "less is better")
    middle = report("churn", title, measure([quiet, busy], given.rounds), bars, keep=not given.quick)
    ratio(middle, "server CPU %", busy.label, quiet.label)


if __name__ == "__main__":
    main()
