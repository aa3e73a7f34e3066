"""Runs rounds of several servers in turn, and writes the results: medians, a table, a file, a picture."""

import argparse
import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.chart import Bars, draw
from bench.servers import Running, available, running
from forestay.terminal.crowd import raise_file_limit

Figures = Mapping[str, float]
RESULTS = Path(__file__).parent / "results"


def options(caption: str, servers: str, *, seconds: float) -> argparse.ArgumentParser:
    """The arguments that all benches share."""
    parser = argparse.ArgumentParser(description=caption)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all servers in turn (5)")
    parser.add_argument("--seconds", type=float, default=seconds, help=f"measured seconds of a round ({seconds:g})")
    parser.add_argument("--servers", default=servers, help=f"which, in which order ({servers})")
    parser.add_argument(
        "--quick", action="store_true", help="a small run that shows that it works and measures nothing"
    )
    return parser


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: a server and its load."""

    label: str
    server: str
    run: Callable[[Running], Figures]
    environ: Mapping[str, str] = field(default_factory=dict)
    """Environment variables besides the server's own."""


def each(names: str, run: Callable[[Running], Figures]) -> list[Case]:
    """The same load for each of the servers called `names`."""
    return [Case(name, name, run) for name in available(names.split(","))]


def measure(cases: Sequence[Case], rounds: int) -> dict[str, list[Figures]]:
    """Run the cases in turn, A B C C B A …: a machine that slows down slows all of them, and none is always last."""
    raise_file_limit()
    found: dict[str, list[Figures]] = {case.label: [] for case in cases}
    for number in range(rounds):
        for case in cases if number % 2 == 0 else reversed(cases):
            with running(case.server, **case.environ) as server:
                figures = case.run(server)
            found[case.label].append(figures)
            shown = "  ".join(f"{key} {value:,.1f}" for key, value in figures.items())
            print(f"  round {number + 1} {case.label:<18} {shown}", flush=True)
    return found


def interleaved(cases: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, list[Figures]]:
    """The cases in turn, A B C A B C …, so that a machine that slows down slows all of them."""
    found: dict[str, list[Figures]] = {label: [] for label in cases}
    for turn in range(rounds):
        for label, run in cases.items():
            figures = run()
            found[label].append(figures)
            shown = "  ".join(f"{key} {value:,.1f}" for key, value in figures.items())
            print(f"  round {turn + 1} {label:<14} {shown}", flush=True)
    return found


def medians(found: Mapping[str, Sequence[Figures]]) -> dict[str, dict[str, float]]:
    """The median of each figure of each server."""
    return {
        name: {key: statistics.median(figures[key] for figures in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }


def report(
    name: str,
    title: str,
    found: Mapping[str, Sequence[Figures]],
    bars: Bars,
    *,
    keep: bool,
    beside: Mapping[str, Figures] | None = None,
) -> dict[str, dict[str, float]]:
    """Print the medians as a table, and with `keep` leave the rounds and a picture of what matters. The medians.

    `beside`: more columns, with what does not come from the rounds of one case alone.
    """
    middle = medians(found)
    for case, figures in (beside or {}).items():
        middle[case] |= figures
    columns = list(next(iter(middle.values())))
    print(f"\n{title}: medians of {len(next(iter(found.values())))} interleaved rounds, {os.cpu_count()} cores")
    print(f"| {'case':<18} | " + " | ".join(f"{column:>18}" for column in columns) + " |")
    print(f"|{'-' * 20}|" + "|".join("-" * 19 + ":" for _ in columns) + "|")
    for server, figures in middle.items():
        print(f"| {server:<18} | " + " | ".join(f"{figures[column]:>18,.1f}" for column in columns) + " |")
    if not keep:
        return middle
    RESULTS.mkdir(exist_ok=True)
    kept = {"title": title, "median": middle, "rounds": found}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1))
    values = {server: figures[bars.figure] for server, figures in middle.items()}
    (RESULTS / f"{name}.svg").write_text(draw(title, bars, values))
    return middle


def ratio(middle: Mapping[str, Mapping[str, float]], figure: str, a: str, b: str) -> None:
    """Print how `a` compares with `b`, where both took part."""
    if a in middle and b in middle and middle[b][figure]:
        print(f"{figure}: {a} / {b} = {middle[a][figure] / middle[b][figure]:.2f}")
