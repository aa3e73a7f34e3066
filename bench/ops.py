"""The CPU time of a pod while an operator looks: the API is asked as the page asks it, and a room is watched.

With `--pods 3` a real Chromium opens the page at one of three pods on a Redis: when its data is painted, and what each
pod pays.
"""

import http.client
import time
from argparse import Namespace
from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.ops_fleet import seen
from bench.rounds import Case, Figures, interleaved, measure, options, report
from bench.servers import Running, available
from bench.swarms import API_KEY
from forestay.terminal.crowd import raise_file_limit

EVERY = {
    "/v1/info": 2.0,
    "/v1/rooms?by=traffic": 5.0,
    "/v1/slow": 5.0,
    "/v1/closes": 5.0,
    "/v1/recent": 5.0,
}
"""Seconds between two requests of the page for each path."""
_HEADERS = {"Authorization": f"Bearer {API_KEY}"}


class Page:
    """Asks as the page does while it is open."""

    def __init__(self, server: Running) -> None:
        self._client = http.client.HTTPConnection("127.0.0.1", server.internal_port)
        self._due = dict.fromkeys(EVERY, 0.0)
        self.slowest = 0.0
        """Seconds of the slowest answer."""

    def look(self, now: float) -> None:
        """Ask what is due."""
        for path, due in self._due.items():
            if now < due:
                continue
            self._due[path] = now + EVERY[path]
            started = time.perf_counter()
            self._client.request("GET", path, headers=_HEADERS)
            answer = self._client.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status}")
            self.slowest = max(self.slowest, time.perf_counter() - started)


def looked_at(server: Running, *, connections: int, seconds: float, page: bool, watch: bool) -> Figures:
    """The CPU time of a pod with so many connections, ten in each room, that are quiet."""
    crowd = crowd_at(server.port)
    for number in range(connections):
        crowd.connect(f"bench.{number // 10}")
    looks, watching = Page(server), http.client.HTTPConnection("127.0.0.1", server.internal_port)
    if watch:
        watching.request("GET", "/v1/rooms/bench.0/watch", headers=_HEADERS)
    time.sleep(1.0)
    cpu, started = server.cpu(), time.perf_counter()
    while (now := time.perf_counter()) < started + seconds:
        if page:
            looks.look(now)
        time.sleep(0.1)
    used = server.cpu() - cpu
    watching.close()
    crowd.close()
    return {"CPU %": 100 * used / (time.perf_counter() - started), "slowest ms": looks.slowest * 1000}


def main() -> None:
    parser = options(__doc__, "forestay", seconds=30)
    parser.add_argument("--pods", type=int, default=1, help="from 2 on, a fleet with the page in Chromium (1)")
    given = parser.parse_args()
    connections = 5_000
    if given.quick:
        given.rounds, given.seconds, connections = 1, 3.0, 50
    environ = {"FORESTAY_API_KEY": API_KEY, "FORESTAY_PING_INTERVAL": "3600"}
    if given.pods > 1:
        _fleet(given, connections, environ)
        return
    run = partial(looked_at, connections=connections, seconds=given.seconds)
    cases = [
        Case("nobody looks", "forestay", partial(run, page=False, watch=False), environ),
        Case("page open", "forestay", partial(run, page=True, watch=False), environ),
        Case("page and watch", "forestay", partial(run, page=True, watch=True), environ),
    ]
    found = measure(cases, given.rounds)
    title = f"A pod with {connections:,} quiet connections while somebody looks"
    middle = report("ops", title, found, Bars("CPU %", "per cent of a core", "less is better"), keep=not given.quick)
    for case in ("page open", "page and watch"):
        print(f"{case}: {middle[case]['CPU %'] - middle['nobody looks']['CPU %']:.2f} % of a core more than before")


def _fleet(given: Namespace, connections: int, environ: dict[str, str]) -> None:
    raise_file_limit()
    cases = {
        name: partial(seen, name, pods=given.pods, connections=connections, seconds=given.seconds, environ=environ)
        for name in available(given.servers.split(","))
    }
    found = interleaved(cases, given.rounds)
    title = f"{given.pods} pods with {connections:,} quiet connections, and the operators' page"
    report(f"ops-{given.pods}", title, found, Bars("data painted ms", "ms", "less is better"), keep=not given.quick)


if __name__ == "__main__":
    main()
