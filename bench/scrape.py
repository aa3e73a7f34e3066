"""The time that a scrape of /metrics takes of the event loop, in an empty pod and with 10,000 connections and rooms."""

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


class Scraper:
    """Scrapes again and again, before so many connections."""

    def __init__(self, server: Running, *, connections: int, accept: str, each: int) -> None:
        """`each`: the number of scrapes in a turn."""
        self._crowd = crowd_at(server.port)
        for number in range(connections):
            self._crowd.connect(f"bench.{number}")
        self._client = http.client.HTTPConnection("127.0.0.1", server.internal_port)
        self._accept = accept
        self._each = each
        self._taken: list[float] = []
        self._size = _once(self._client, accept)

    def turn(self, seconds: float) -> None:
        """Scrape `each` times, also beyond the turn."""
        for _ in range(self._each):
            started = time.perf_counter()
            self._size = _once(self._client, self._accept)
            self._taken.append(time.perf_counter() - started)

    def figures(self, cpu: float) -> Figures:
        """All CPU time of the server is time of the loop, because it does nothing else."""
        return {
            "ms CPU/scrape": cpu / len(self._taken) * 1000,
            "p50 ms": percentile(self._taken, 0.5) * 1000,
            "p99 ms": percentile(self._taken, 0.99) * 1000,
            "KiB": self._size / 1024,
        }

    def close(self) -> None:
        self._client.close()
        self._crowd.close()


def scrape(server: Running, *, connections: int, accept: str) -> Figures:
    """Measure some hundred scrapes."""
    scraper = Scraper(server, connections=connections, accept=accept, each=_SCRAPES)
    cpu = server.cpu()
    scraper.turn(0.0)
    figures = scraper.figures(server.cpu() - cpu)
    scraper.close()
    return figures


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
