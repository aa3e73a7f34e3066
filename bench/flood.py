"""One connection sends single bytes as fast as it can; the round trip of another one is measured."""

import multiprocessing
import select
import socket
import time
from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Case, Figures, measure, options, report
from bench.servers import Running
from forestay.terminal.crowd import expect, percentile, text


def round_trips(one: socket.socket, number: int) -> list[float]:
    """Milliseconds of `number` pings, one after the other."""
    one.settimeout(None)
    ping = text(b'{"type":"ping","id":"1"}')
    trips = []
    for _ in range(number):
        started = time.monotonic()
        one.sendall(ping)
        expect(one, b'"pong"')
        trips.append((time.monotonic() - started) * 1000)
        time.sleep(0.02)
    return trips


def flood(one: socket.socket, seconds: float) -> None:
    """Send one-byte messages without a pause, reading what comes back."""
    burst = text(b"x") * 2000
    until = time.monotonic() + seconds
    one.settimeout(0)
    try:
        while time.monotonic() < until:
            readable, writable, _ = select.select([one], [one], [], 0.1)
            if readable and not one.recv(1 << 20):
                return
            if writable:
                one.send(burst)
    except (BlockingIOError, ConnectionError):
        return


def beside_a_flood(server: Running, *, flooding: bool, pings: int) -> Figures:
    crowd = crowd_at(server.port)
    (calm,) = crowd.connect("bench.calm")
    (wild,) = crowd.connect("bench.wild")
    flooder = multiprocessing.Process(target=flood, args=(wild, 12.0))
    if flooding:
        flooder.start()
        time.sleep(0.3)
    cpu, started = server.cpu(), time.monotonic()
    trips = round_trips(calm, pings)
    busy = (server.cpu() - cpu) / (time.monotonic() - started)
    if flooding:
        flooder.terminate()
        flooder.join()
    crowd.close()
    return {"p50 ms": percentile(trips, 0.5), "p99 ms": percentile(trips, 0.99), "server CPU %": busy * 100}


def main() -> None:
    given = options(__doc__, "forestay-limits", seconds=0).parse_args()
    pings = 150
    if given.quick:
        given.rounds, pings = 1, 20
    work = partial(beside_a_flood, pings=pings)
    calm = Case("calm", given.servers, partial(work, flooding=False))
    wild = Case("beside a flood", given.servers, partial(work, flooding=True))
    title = "A flood of 1-byte messages: another connection's round trip"
    bars = Bars("p99 ms", "99th percentile of the round trip, ms", "less is better")
    report("flood", title, measure([calm, wild], given.rounds), bars, keep=not given.quick)


if __name__ == "__main__":
    main()
