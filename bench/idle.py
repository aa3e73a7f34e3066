"""The memory of an idle connection that has joined one room, through each door."""

import time
from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at, gate
from bench.doors import enter
from bench.rounds import Case, Figures, each, measure, options, report
from bench.servers import Running
from forestay.terminal.crowd import Crowd


class Memory:
    """More connections in each turn, all in one room, that stay and send nothing."""

    def __init__(self, server: Running, each: int, door: str = "native") -> None:
        self._server = server
        self._each = each
        self._door = door
        self._clients = 0
        self._warm = crowd_at(server.port)
        self._enter(self._warm, "bench.warm", 20)
        self._crowd = crowd_at(server.port)
        self._before = settled(server)

    def turn(self, seconds: float) -> None:
        """Connect all of them, also beyond the turn."""
        room = f"bench.{self._clients // self._each}"
        self._enter(self._crowd, room, self._each)
        self._clients += self._each

    def _enter(self, crowd: Crowd, room: str, number: int) -> None:
        if self._door == "native":
            self._server.dialect.connect(crowd, self._server.port, room, number)
        else:
            enter(crowd, gate(self._server.port), self._door, room, number)

    def figures(self, cpu: float) -> Figures:
        """KiB of resident memory per connection, over those of an empty server that has had a few."""
        return {"KiB/connection": (settled(self._server) - self._before) / self._clients}

    def close(self) -> None:
        self._crowd.close()
        self._warm.close()


def settled(server: Running) -> int:
    """KiB of memory of the server, once two readings agree."""
    last, now = 0, server.rss()
    for _ in range(20):
        if last == now:
            break
        time.sleep(0.2)
        last, now = now, server.rss()
    return now


def idle(server: Running, clients: int, door: str = "native") -> Figures:
    """Connect all of them, fifty at a time."""
    memory = Memory(server, 50, door)
    for _ in range(clients // 50):
        memory.turn(0.0)
    figures = memory.figures(0.0)
    memory.close()
    return figures


def main() -> None:
    parser = options(__doc__, "forestay,plain,ws", seconds=0)
    parser.add_argument("--doors", default="socketio,polling,stream", help="of ours, besides (socketio,polling,stream)")
    given = parser.parse_args()
    clients = 5000
    if given.quick:
        given.rounds, clients = 1, 100
    # A crowd that only connects answers no ping.
    quiet = {"FORESTAY_PING_INTERVAL": "3600"}
    cases = each(given.servers, partial(idle, clients=clients))
    for door in given.doors.split(","):
        label, run = f"forestay, {door}", partial(idle, clients=clients, door=door)
        cases.append(Case(label, "forestay-socketio", run, quiet))
    found = measure(cases, given.rounds)
    title = f"Idle: memory of a connection in one room, {clients:,} connections"
    report(
        "idle", title, found, Bars("KiB/connection", "KiB of resident memory", "less is better"), keep=not given.quick
    )


if __name__ == "__main__":
    main()
