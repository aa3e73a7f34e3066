"""What a scrape of /metrics takes of the event loop: of an empty pod, and of one with 10,000 connections and rooms."""

import http.client
import time
from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Case, Figures, measure, options, report
from bench.servers import Running
from forestay.terminal.crowd import percentile

TEXT = "text/plain"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
_SCRAPES = 200


def scrape(server: Running, *, connections: int, accept: str) -> Figures:
    """Scrape again and again. What the server computes meanwhile is the loop's time, for it does nothing else."""
    crowd = crowd_at(server.port)
    for number in range(connections):
        crowd.connect(f"bench.{number}")
    client = http.client.HTTPConnection("127.0.0.1", server.internal_port)
    _once(client, accept)
    taken = []
    cpu = server.cpu()
    for _ in range(_SCRAPES):
        started = time.perf_counter()
        size = _once(client, accept)
        taken.append(time.perf_counter() - started)
    cpu = server.cpu() - cpu
    client.close()
    crowd.close()
    return {
        "ms CPU/scrape": cpu / _SCRAPES * 1000,
        "p50 ms": percentile(taken, 0.5) * 1000,
        "p99 ms": percentile(taken, 0.99) * 1000,
        "KiB": size / 1024,
    }


def _once(client: http.client.HTTPConnection, accept: str) -> int:
    client.request("GET", "/metrics", headers={"Accept": accept})
    return len(client.getresponse().read())


def main() -> None:
    given = options(__doc__, "forestay-presence", seconds=0).parse_args()
    connections = 10_000
    if given.quick:
        given.rounds, connections = 1, 50
    cases = [
        Case(f"{name}, {number:,}", "forestay-presence", partial(scrape, connections=number, accept=accept))
        for number in (0, connections)
        for name, accept in (("text", TEXT), ("OpenMetrics", OPENMETRICS))
    ]
    found = measure(cases, given.rounds)
    title = f"Scraping a pod with {connections:,} connections, each in a room of its own with presence"
    report(
        "scrape",
        title,
        found,
        Bars("ms CPU/scrape", "CPU milliseconds per scrape", "less is better"),
        keep=not given.quick,
    )


if __name__ == "__main__":
    main()
