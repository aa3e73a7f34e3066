"""Ten clients ask for long histories and read nothing; the round trip of another one and the memory are measured."""

import json
import socket
import time
from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.flood import round_trips
from bench.rounds import Case, Figures, measure, options, ratio, report
from bench.servers import Running
from forestay.terminal.crowd import expect, percentile, text

ROOMS = 10
PAGES = 10
"""Of each room."""
_SIZE = 60_000
_PAYLOAD = "y" * _SIZE


def fill(one: socket.socket, messages: int) -> None:
    """Say `messages` in each of the rooms, and wait until all of them are kept."""
    one.settimeout(None)
    for room in range(ROOMS):
        for _ in range(messages):
            sentence = {"type": "broadcast", "room": f"bench.{room}", "payload": _PAYLOAD}
            one.sendall(text(json.dumps(sentence).encode()))
    one.sendall(text(b'{"type":"ping","id":"1"}'))
    expect(one, b'"pong"')


def epochs(one: socket.socket) -> list[str]:
    """The epoch of each room."""
    found = []
    for room in range(ROOMS):
        one.sendall(text(json.dumps({"type": "history", "room": f"bench.{room}", "limit": 1}).encode()))
        heard = expect(one, b'"more":').split(b'"epoch":"', 1)[1]
        found.append(heard.split(b'"', 1)[0].decode())
    return found


def demands(epochs: list[str]) -> bytes:
    """What a greedy client says: it asks for pages of all rooms, and joins the rooms from their start."""
    said: list[dict[str, object]] = []
    for room, epoch in enumerate(epochs):
        start = {"epoch": epoch, "offset": 0}
        said += [{"type": "history", "room": f"bench.{room}", "limit": 1000}] * PAGES
        said.append({"type": "join", "room": f"bench.{room}", "since": start})
    return b"".join(text(json.dumps(sentence).encode()) for sentence in said)


def beside_the_greedy(server: Running, *, greedy: int, messages: int, pings: int) -> Figures:
    """`pings` of a calm client beside `greedy` others. The memory counts from before these came."""
    crowd = crowd_at(server.port)
    speaker, calm, *readers = crowd.connect("bench.calm", 2 + greedy)
    fill(speaker, messages)
    asked = demands(epochs(speaker))
    round_trips(calm, 10)
    before = most = server.rss()
    for one in readers:
        one.settimeout(None)
        one.sendall(asked)
    trips: list[float] = []
    until = time.monotonic() + 120
    while len(trips) < pings and time.monotonic() < until:
        trips += round_trips(calm, 10)
        most = max(most, server.rss())
    crowd.close()
    return {
        "p50 ms": percentile(trips, 0.5),
        "p99 ms": percentile(trips, 0.99),
        "most ms": max(trips),
        "grown KiB": most - before,
    }


def main() -> None:
    given = options(__doc__, "forestay-history", seconds=0).parse_args()
    messages, pings = 100, 1000
    if given.quick:
        given.rounds, messages, pings = 1, 10, 20
    work = partial(beside_the_greedy, messages=messages, pings=pings)
    alone = Case("nobody else", given.servers, partial(work, greedy=0))
    beside = Case("ten greedy ones", given.servers, partial(work, greedy=10))
    size = ROOMS * messages * _SIZE / 1e6
    title = f"Ten clients that ask for pages of {size:g} MB of history and resume all of it, and do not read"
    bars = Bars("p99 ms", "99th percentile of another client's round trip, ms", "less is better")
    middle = report("greedy", title, measure([alone, beside], given.rounds), bars, keep=not given.quick)
    ratio(middle, "p99 ms", beside.label, alone.label)


if __name__ == "__main__":
    main()
