"""A busy room of 800, with and without 500 joins and 500 leaves a second by others."""

import time
from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Case, Figures, measure, options, ratio, report
from bench.servers import Running
from forestay.terminal.crowd import join, leave, message, percentile, send


def churn(server: Running, *, members: int, rate: float, moves: float, seconds: float) -> Figures:
    """`rate` messages a second to `members`, while `moves` times a second somebody joins and somebody leaves."""
    crowd = crowd_at(server.port)
    room = crowd.connect("bench.busy", members, sample=20)
    movers = crowd.connect("bench.elsewhere", 200, sample=10**6)
    going, coming = leave("bench.busy"), join("bench.busy")
    said = moved = 0

    def run(duration: float) -> None:
        nonlocal said, moved
        said = moved = 0
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < duration:
            while said < elapsed * rate:
                send(room[0], message("bench.busy"))
                said += 1
            # Everybody joins, then everybody leaves: half of the moves each.
            while moved < elapsed * moves * 2:
                send(movers[moved % len(movers)], going if moved // len(movers) % 2 else coming)
                moved += 1
            crowd.read(0.001)

    run(1.0)
    crowd.reset()
    cpu = server.cpu()
    run(seconds)
    cpu = server.cpu() - cpu
    crowd.close()
    return {
        "server CPU %": cpu / seconds * 100,
        "p50 ms": percentile(crowd.latencies, 0.5) / 1e6,
        "p99 ms": percentile(crowd.latencies, 0.99) / 1e6,
        "messages/s": said / seconds,
        "moves/s": moved / seconds,
    }


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
