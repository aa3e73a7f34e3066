"""A room of 500 with one client that never reads: the effect on the others and on memory."""

import time
from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Case, Figures, measure, options, ratio, report
from bench.servers import Running
from forestay.terminal.crowd import message, percentile, send


def room(server: Running, *, members: int, stuck: int, rate: float, seconds: float) -> Figures:
    """`rate` messages of 1 KB a second to `members`, of which `stuck` read nothing."""
    crowd = crowd_at(server.port)
    everybody = crowd.connect("bench.room", members, sample=5)
    for one in everybody[members - stuck :]:
        crowd.ignore(one)
    before = server.rss()

    def run(duration: float) -> None:
        sent, started = 0, time.monotonic()
        while (elapsed := time.monotonic() - started) < duration:
            while sent < elapsed * rate:
                send(everybody[0], message("bench.room", 1000))
                sent += 1
            crowd.read(0.002)

    run(1.0)
    crowd.reset()
    run(seconds)
    grown = server.rss() - before
    crowd.close()
    return {
        "p50 ms": percentile(crowd.latencies, 0.5) / 1e6,
        "p99 ms": percentile(crowd.latencies, 0.99) / 1e6,
        "grown KiB": grown,
    }


def main() -> None:
    given = options(__doc__, "forestay", seconds=20).parse_args()
    members, rate = 500, 300.0
    if given.quick:
        given.rounds, given.seconds, members = 1, 1.0, 50
    work = partial(room, members=members, rate=rate, seconds=given.seconds)
    free = Case("all read", given.servers, partial(work, stuck=0))
    blocked = Case("one stuck", given.servers, partial(work, stuck=1))
    title = f"A stuck reader in a room of {members} at {rate:g} messages/s"
    bars = Bars("p99 ms", "99th percentile of the others' latency, ms", "less is better")
    middle = report("stuck", title, measure([free, blocked], given.rounds), bars, keep=not given.quick)
    ratio(middle, "p99 ms", blocked.label, free.label)


if __name__ == "__main__":
    main()
