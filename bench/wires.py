"""A room of native, Socket.IO and stream members against an all-native one; Socket.IO alone against its own servers."""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.chart import Bars
from bench.crowd import crowd_at, gate
from bench.doors import enter, event
from bench.paired import more
from bench.rounds import Figures, options, report
from bench.servers import Running, available, counting, running
from bench.sitting import Deliveries, Seat, Turns, sit, sittings
from forestay.terminal.crowd import Speech, message, raise_file_limit

_COST = "us CPU/delivery"
_ROOM = "bench.wires"
_REST = 0.5
OURS = "forestay-socketio"
NATIVE, MIXED = "all native", "mixed"
MEMBERS: Mapping[str, int] = {"native": 500, "socketio": 500, "stream": 100}
"""Members of the mixed room by their door."""
LEAST_MIXED = 0.85
"""Deliveries per CPU-second of the mixed room, by those of the native one."""
LEAST: Mapping[str, float] = {"socket.io": 8.0, "python-socketio": 20.0}
"""How many times more CPU a delivery may take there at least."""


class Room:
    """Members of several doors in one room, and one of the first door who speaks."""

    def __init__(self, server: Running, members: Mapping[str, int], rate: float) -> None:
        self.crowd = crowd_at(server.port)
        self.members = sum(members.values())
        to = gate(server.port)
        made = {door: enter(self.crowd, to, door, _ROOM, number, sample=20) for door, number in members.items()}
        first = next(iter(made))
        self._speech = Speech([(made[first][0], _ROOM)], rate, encode=message if first == "native" else event)

    def run(self, seconds: float) -> int:
        """Publish for `seconds` and count the deliveries. Returns how many are expected."""
        due = self._speech.give(self.crowd, seconds) * self.members
        self.crowd.read_until(due, 30.0)
        return due


@dataclass(frozen=True, slots=True)
class Case:
    """A server and the members of its room."""

    server: str
    members: Mapping[str, int]


def seated(cases: Mapping[str, Case], rate: float, seconds: float) -> dict[str, Figures]:
    """One sitting: the servers take short turns under the same load."""
    servers = {name: running(case.server, FORESTAY_PING_INTERVAL="3600") for name, case in cases.items()}

    def work(name: str, server: Running) -> Deliveries:
        # The slowest server takes many seconds for the messages of one.
        return Deliveries(Room(server, cases[name].members, rate), warm_up=0.2)

    def evaluate(seats: Mapping[str, Seat]) -> dict[str, Figures]:
        # The turns of the others can be long. What a server does meanwhile is not counted.
        return {name: seats[name].figures(seats[name].in_turns) for name in cases}

    return sit(servers, work, Turns.within(seconds), evaluate, rest=_REST)


def played(cases: Mapping[str, Case], rate: float, given: argparse.Namespace) -> dict[str, list[Figures]]:
    """All rounds."""
    found: dict[str, list[Figures]] = {}
    sittings(given.rounds, partial(seated, cases, rate, given.seconds), found)
    return found


def compared(found: dict[str, list[Figures]], base: str) -> dict[str, Figures]:
    """The columns with the ratio of each case by the base: median of the rounds, and its interval."""
    return {
        case: {
            "by the first": 1 + one.percent / 100,
            "at least": 1 + one.least / 100,
            "at most": 1 + one.most / 100,
        }
        for case, one in more(found, _COST, base).items()
    }


def mixed(rate: float, size: Callable[[int], int], given: argparse.Namespace) -> None:
    """The mixed room against a native one with as many members."""
    members = {door: size(number) for door, number in MEMBERS.items()}
    cases = {
        NATIVE: Case(OURS, {"native": sum(members.values())}),
        MIXED: Case(OURS, members),
    }
    found = played(cases, rate, given)
    ratios = compared(found, NATIVE)
    shown = ", ".join(f"{number} {door}" for door, number in members.items())
    title = f"One room of {shown} members, {rate:g} messages/s"
    bars = Bars(_COST, "CPU microseconds per delivery", "less is better")
    report(f"wires-mixed-{rate:g}", title, found, bars, keep=not given.quick, beside=ratios)
    ratio = 1 / ratios[MIXED]["by the first"]
    print(f"deliveries per CPU-second: mixed / native = {ratio:.2f}, wanted {LEAST_MIXED} at least")


def encodings(size: Callable[[int], int]) -> dict[str, float]:
    """How often each wire encodes a message of the mixed room."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "counts")
        with counting(file, OURS, FORESTAY_PING_INTERVAL="3600") as server:
            room = Room(server, {door: size(number) for door, number in MEMBERS.items()}, 100.0)
            before = server.told(file)["encodings"]
            messages = room.run(1.0) // room.members
            found = server.told(file)["encodings"]
            room.crowd.close()
    return {wire: (number - before.get(wire, 0)) / messages for wire, number in found.items()}


def alone(rate: float, size: Callable[[int], int], given: argparse.Namespace) -> None:
    """A room of Socket.IO clients alone, here and at the servers of Socket.IO."""
    members = {"socketio": size(1000)}
    cases = {name: Case(name, members) for name in available([OURS, *LEAST])}
    found = played(cases, rate, given)
    ratios = compared(found, OURS)
    title = f"Socket.IO alone: {members['socketio']:,} members of one room, {rate:g} messages/s"
    bars = Bars(_COST, "CPU microseconds per delivery", "less is better")
    report(f"wires-socketio-{rate:g}", title, found, bars, keep=not given.quick, beside=ratios)
    for name, least in LEAST.items():
        if name in ratios:
            one = ratios[name]
            shown = f"{one['by the first']:.1f} ({one['at least']:.1f} to {one['at most']:.1f})"
            print(f"CPU per delivery: {name} / {OURS} = {shown}, wanted {least:g} at least")


def main() -> None:
    parser = options(__doc__, OURS, seconds=0.9)
    parser.set_defaults(rounds=6)
    parser.add_argument("--only", choices=("mixed", "alone"), help="one part alone")
    parser.add_argument("--rates", default="20,100,500", help="messages per second into the mixed room (20,100,500)")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds, given.rates = 1, 0.3, "100"
    raise_file_limit()

    def size(number: int) -> int:
        return number // 20 if given.quick else number

    if given.only != "alone":
        for rate in map(float, given.rates.split(",")):
            mixed(rate, size, given)
        counted = encodings(size)
        print("encodings of a message: " + ", ".join(f"{number:g} by {wire}" for wire, number in counted.items()))
    if given.only != "mixed":
        alone(500.0, size, given)


if __name__ == "__main__":
    main()
