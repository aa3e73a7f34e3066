"""Writes docs/performance.md from what the benches left in `bench/results/`: `python -m bench.page`."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.rounds import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"

_HEAD = """\
# Performance

This page is for readers who ask what Forestay costs, bench by bench. It is written by `python -m bench.page` from the
last full run; [the benches](../bench/README.md) say what each one does and how to run it. Each table shows the medians
of five rounds in which the servers took turns on one machine of two cores, with the load beside them. Figures per
CPU-second hold on a busy machine, latencies only within one table. `forestay` is as shipped but for the limit of
messages per second, `forestay-norest` writes without a rest after a pass; `plain` is an aiohttp loop as its tutorial
writes it, `ws` is Node's library as its examples use it.
"""

_SECTIONS: Sequence[tuple[str, str]] = (
    ("fanout-1x500", "A write to a socket costs about the same for one message as for ten. The others cannot keep up."),
    ("fanout-1x100", ""),
    ("fanout-1x20", "Nothing to gather: a message is a write per member for everybody."),
    ("fanout-10x500", "A room rests by itself, so that ten busy rooms do not wait for one another."),
    ("fanout-10x20", ""),
    ("inbound", "A token bucket, rights, the check of the payload and a trace context, which the others leave out."),
    ("connect", "An upgrade, a JWT, a welcome and a join; the others say no welcome."),
    ("idle", "In KiB of resident memory, without compression."),
    (
        "compression-1000",
        "Each message is deflated once, for about 20 µs. Bytes are of frames, also of those that are not compressed.",
    ),
    (
        "objects-native",
        "As `sys.getsizeof` says it. The last row is the loop's own memory in C, and what the allocator cannot reuse.",
    ),
    ("objects-socketio", ""),
    ("churn", "Joiners and leavers get their part of a batch; the others' buffer stays shared."),
    ("stuck", "What one reader that never reads does to the others."),
    ("flood", "Another connection's round trip, while one says single bytes as fast as it can."),
    (
        "greedy",
        "What ten clients do to another one that ask for far more than they read, and what they take in memory.",
    ),
    ("pods-100", "The subscribers are on another pod than the publisher."),
    ("pods-1000", ""),
    ("drain", "Below 0 the overlap is a time without a connection. New ones go through a balancer to the other pod."),
    ("storm", "As they ask the balancer; the mean is that of a return spread evenly over those seconds."),
    (
        "wires-mixed-20",
        "Each message is encoded once for each kind of client. `by the first`: CPU per delivery, of six rounds.",
    ),
    ("wires-mixed-100", ""),
    ("wires-mixed-500", ""),
    (
        "wires-socketio-500",
        "In short turns of six rounds. `socket.io` is Node's own server; what it loses came too late to be counted.",
    ),
    ("hearing", "From Redis' bytes to a checked message in the hands of delivery."),
    ("scrape", "What `/metrics` takes of the event loop does not grow with the connections."),
    (
        "tracing-fanout",
        "Percent more than without `OTEL_*`: median of 15 rounds and its 95 % interval; `absent again` is noise.",
    ),
    (
        "tracing-inbound",
        "The dearest case: a message costs little, and has three spans if it is kept. `100 %` ran apart, eight times.",
    ),
    ("tracing-trouble", "Nobody listens, or takes the spans and never answers; a ratio within one run."),
)


_PROFILES = """\
## Where the CPU goes

Microseconds of CPU, layer by layer: of a delivery in the large room, else of a message. `before` is commit 50a8365, on
asyncio and not compiled. The kernel's account of the process gives the time of its calls and of all
else; stacks sampled by py-spy divide each of the two. A library or the interpreter counts for the layer that calls it.
To repeat it: `python -m bench profile`, `python -m bench profile REV`, or `python -m bench profile --python PYTHON` for
a gateway that is installed there, such as a compiled one. `--keep NAME` writes a column of these tables.
"""


def page(results: Path = RESULTS) -> str:
    """The whole page. A bench that was not run in full yet has no section."""
    measured = [(name, remark) for name, remark in _SECTIONS if (results / f"{name}.json").exists()]
    return "\n".join([_HEAD, *(_section(results, name, remark) for name, remark in measured), *_profiles(results)])


def _profiles(results: Path) -> list[str]:
    """The tables of `python -m bench profile`, by load."""
    found = [json.loads(file.read_text()) for file in sorted(results.glob("profile-*.json"))]
    return [_PROFILES, *map(_profile, found)] if found else []


def _profile(found: dict[str, Any]) -> str:
    columns: dict[str, dict[str, float]] = found["columns"]
    lines = [f"### {found['title']}", "", "| | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    rows = list(next(iter(columns.values())))
    lines += [f"| {row} | " + " | ".join(f"{column[row]:.2f}" for column in columns.values()) + " |" for row in rows]
    return "\n".join([*lines, ""])


def _section(results: Path, name: str, remark: str) -> str:
    found = json.loads((results / f"{name}.json").read_text())
    lines = [f"## {found['title']}", "", *([remark, ""] if remark else []), *table(found["median"])]
    lines += ["", f"![{found['title']}](../bench/results/{name}.svg)", ""]
    return "\n".join(lines)


def table(middle: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The lines of a table with a row for each case."""
    columns = list(next(iter(middle.values())))
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    lines += [
        f"| {case} | " + " | ".join(_shown(figures[column], column) for column in columns) + " |"
        for case, figures in middle.items()
    ]
    return lines


def _shown(value: float, column: str) -> str:
    if math.isnan(value):
        return ""
    if column == "close code":
        return f"{value:.0f}" if value else "none"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
