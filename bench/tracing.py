"""The cost of traces: switched off, at 1 % and at 100 %; and the latency with a collector that is closed or hangs."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from bench.chart import Bars
from bench.collector import closed, hanging, sending, taking
from bench.fanout import FanOut
from bench.inbound import Inbound
from bench.paired import more
from bench.rounds import Figures, options, report
from bench.servers import Running, running
from bench.sitting import Deliveries, Load, Seat, Turns, sit, sittings
from forestay.terminal.crowd import raise_file_limit

LIMITS = {"off": 2.0, "1 %": 3.0}
"""Percent of the server's CPU that traces may take."""
ABSENT, HEALTHY = "absent", "healthy"
_COST = "us CPU/delivery"
_SENDING = 5.0
"""Seconds after which a server sends its spans, as the specification requires."""

AGAIN = "absent again"
WIDTH = 1.0
"""Percent to either side that the case without traces may differ from itself. Else the machine was too busy."""

Found = Mapping[str, Sequence[Figures]]
Environs = Mapping[str, Mapping[str, str]]


def few(port: int) -> dict[str, dict[str, str]]:
    """Few traces or none, sent to `port`. The case without traces runs twice: the difference is noise."""
    return {
        ABSENT: {},
        AGAIN: {},
        "off": sending(port, 1.0) | {"OTEL_SDK_DISABLED": "true"},
        "1 %": sending(port, 0.01),
    }


def all_of_them(port: int) -> dict[str, dict[str, str]]:
    """Every trace, in a sitting of its own: so much work would disturb the other cases."""
    return {ABSENT: {}, "100 %": sending(port, 1.0)}


def sit_with(environs: Environs, server: str, load: Callable[[Running], Load], seconds: float) -> dict[str, Figures]:
    """One server called `server` for each of `environs`, and `seconds` of load on each of them in turns.

    A server that has a load for a fourth of the time waits four times as long before it sends: a message's share of a
    request is then what it is where the load does not pause. The first batch of spans takes its sender as long as
    hundreds of later ones, for it loads what it sends with: it has the rest before the first turn.
    """
    sending = _SENDING * len(environs)
    # A crowd reads only during its turns, and never answers a ping.
    both = {"OTEL_BSP_SCHEDULE_DELAY": f"{sending * 1000:.0f}", "FORESTAY_PING_INTERVAL": "3600"}
    servers = {case: running(server, **{**both, **more}) for case, more in environs.items()}

    def evaluate(seats: Mapping[str, Seat]) -> dict[str, Figures]:
        # Between its turns the first server does only its idle work. That is not counted.
        first = seats[next(iter(environs))]
        idle = first.cpu - first.in_turns
        return {case: seats[case].figures(seats[case].cpu - idle) for case in environs}

    return sit(servers, lambda _, server: Deliveries(load(server)), Turns.within(seconds), evaluate, rest=sending + 1.0)


def sat(rounds: int, sitting: Callable[[], dict[str, Figures]]) -> dict[str, list[Figures]]:
    """Run `rounds` sittings."""
    found: dict[str, list[Figures]] = {}
    sittings(rounds, sitting, found)
    return found


def report_cost(name: str, title: str, load: Callable[[Running], Load], port: int, given: Namespace) -> None:
    """How much more CPU each case takes than the one without traces, and whether that is within its limit."""
    found = sat(given.rounds, partial(sit_with, few(port), given.servers, load, given.seconds))
    # A case that doubles the cost needs no exact measurement.
    everything = sat(
        (given.rounds + 1) // 2, partial(sit_with, all_of_them(port), given.servers, load, given.seconds / 3)
    )
    compared = more(found, _COST, ABSENT) | {"100 %": more(everything, _COST, ABSENT)["100 %"]}
    found["100 %"] = everything["100 %"]
    bars = Bars("more CPU %", "percent more CPU of the server than without traces, median of pairs", "less is better")
    beside = {case: one.figures("CPU") for case, one in compared.items()}
    report(name, title, found, bars, keep=not given.quick, beside=beside)
    control = compared[AGAIN]
    quiet = control.least >= -WIDTH and control.most <= WIDTH
    print(f"{AGAIN}: {control}, so the machine was {'quiet enough' if quiet else 'too busy to tell'}")
    for case, limit in LIMITS.items():
        print(f"{case}: {compared[case]} {compared[case].verdict(limit)} within {limit:g} %")


def report_trouble(name: str, title: str, found: Found, *, keep: bool) -> None:
    """How much later the slowest messages come than with a healthy collector."""
    compared = more(found, "p99 ms", HEALTHY)
    bars = Bars("p99 ms", "p99 of delivery in milliseconds", "less is better")
    report(name, title, found, bars, keep=keep, beside={case: one.figures("p99") for case, one in compared.items()})


def main() -> None:
    parser = options(__doc__, "forestay", seconds=9)
    parser.set_defaults(rounds=15)
    parser.add_argument("--rate", type=float, default=20, help="messages a second of each publisher (20)")
    parser.add_argument("--only", choices=("fanout", "inbound", "trouble"), help="one part alone")
    given = parser.parse_args()
    subscribers, publishers, keep = 1000, 200, not given.quick
    if given.quick:
        given.rounds, given.seconds, subscribers, publishers = 1, 1.0, 50, 20
    raise_file_limit()
    parts = [given.only] if given.only else ["fanout", "inbound", "trouble"]
    spread = partial(FanOut, subscribers=subscribers, rooms=1, rate=100)
    gather = partial(Inbound, publishers=publishers, rate=given.rate)
    with ExitStack() as stack:
        port = stack.enter_context(taking())
        if "fanout" in parts:
            title = f"Traces: one room of {subscribers:,} subscribers, 100 messages/s"
            report_cost("tracing-fanout", title, spread, port, given)
        if "inbound" in parts:
            title = f"Traces: {publishers} publishers at {given.rate:g} messages/s into rooms of two"
            report_cost("tracing-inbound", title, gather, port, given)
        if "trouble" in parts:
            ports = {HEALTHY: port, "closed": stack.enter_context(closed()), "hanging": stack.enter_context(hanging())}
            environs: dict[str, dict[str, str]] = {ABSENT: {}}
            environs |= {case: sending(to, 1.0) for case, to in ports.items()}
            found = sat(given.rounds, partial(sit_with, environs, given.servers, spread, given.seconds))
            title = f"A collector in trouble: all traces kept, {subscribers:,} subscribers, 100 messages/s"
            report_trouble("tracing-trouble", title, found, keep=keep)


if __name__ == "__main__":
    main()
