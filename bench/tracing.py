"""What traces cost: switched off, at 1 % and at 100 %; and what a collector that is closed or hangs does to latency."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from bench.chart import Bars
from bench.collector import Collector, closed, hanging, sending, taking
from bench.fanout import fan_out
from bench.inbound import inbound
from bench.paired import more
from bench.rounds import Case, Figures, measure, options, report
from bench.servers import Running

LIMITS = {"off": 2.0, "1 %": 3.0}
"""Percent of the server's CPU that traces may take."""
ABSENT = "absent"
HEALTHY = "healthy"


def cost(collector: Collector, work: Callable[[Running], Figures], figure: str) -> list[Case]:
    """The same work with less and more traces. The same twice shows what is the machine's and not theirs."""

    def counted(server: Running) -> Figures:
        collector.spans()
        figures = work(server)
        shown = {name: figures[name] for name in (figure, "p50 ms", "p99 ms", "lost")}
        return shown | {"spans sent": collector.spans()}

    environs = {
        ABSENT: {},
        "absent again": {},
        "off": sending(collector.port, 1.0) | {"OTEL_SDK_DISABLED": "true"},
        "1 %": sending(collector.port, 0.01),
        "100 %": sending(collector.port, 1.0),
    }
    return [Case(label, "forestay", counted, environ) for label, environ in environs.items()]


def trouble(ports: dict[str, int], work: Callable[[Running], Figures]) -> list[Case]:
    """The same work with all traces kept, and a collector for each of `ports`."""
    return [Case(label, "forestay", work, sending(port, 1.0)) for label, port in ports.items()]


def judged(name: str, title: str, found: dict[str, list[Figures]], figure: str, *, keep: bool) -> None:
    """Report the rounds with how much more CPU each case took than the one without traces."""
    compared = more(found, figure, ABSENT)
    bars = Bars("more CPU %", "percent more CPU of the server than without traces, median of pairs", "less is better")
    report(name, title, found, bars, keep=keep, beside={case: one.figures("CPU") for case, one in compared.items()})
    for case, limit in LIMITS.items():
        one = compared[case]
        said = f"{one.percent:+.1f} % ({one.least:+.1f} to {one.most:+.1f})"
        print(f"{case}: {said} {one.verdict(limit)} within {limit:g} %")


def main() -> None:
    parser = options(__doc__, "", seconds=6)
    parser.set_defaults(rounds=15)
    parser.add_argument("--only", choices=("fanout", "inbound", "trouble"), help="one part alone")
    given = parser.parse_args()
    subscribers, publishers = 1000, 200
    if given.quick:
        given.rounds, given.seconds, subscribers, publishers = 1, 1.0, 50, 20
    parts = [given.only] if given.only else ["fanout", "inbound", "trouble"]
    spread = partial(fan_out, subscribers=subscribers, rooms=1, rate=100, seconds=given.seconds)
    gather = partial(inbound, publishers=publishers, rate=50, seconds=given.seconds)
    with ExitStack() as stack:
        collector = stack.enter_context(taking())
        if "fanout" in parts:
            title = f"Traces: one room of {subscribers:,} subscribers, 100 messages/s"
            found = measure(cost(collector, spread, "server CPU %"), given.rounds)
            judged("tracing-fanout", title, found, "server CPU %", keep=not given.quick)
        if "inbound" in parts:
            title = f"Traces: {publishers} publishers at 50 messages/s into rooms of two"
            found = measure(cost(collector, gather, "us CPU/message"), given.rounds)
            judged("tracing-inbound", title, found, "us CPU/message", keep=not given.quick)
        if "trouble" in parts:
            ports = {
                HEALTHY: collector.port,
                "closed": stack.enter_context(closed()),
                "hanging": stack.enter_context(hanging()),
            }
            found = measure(trouble(ports, spread), given.rounds)
            beside = {case: one.figures("p99") for case, one in more(found, "p99 ms", HEALTHY).items()}
            title = f"A collector in trouble: all traces kept, {subscribers:,} subscribers, 100 messages/s"
            bars = Bars("p99 ms", "p99 of delivery in milliseconds", "less is better")
            report("tracing-trouble", title, found, bars, keep=not given.quick, beside=beside)


if __name__ == "__main__":
    main()
