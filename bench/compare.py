"""Compares what this tree and a git revision cost under the same loads, in turns within one run."""

import argparse
import json
import math
import signal
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.checkouts import ROOT, Checkout, Unusable, checked_out, recognise, revision_of, runnable
from bench.paired import FEWEST, More, more
from bench.parts import BENCHES, USUAL, Part, Terms, chosen
from bench.rounds import Figures
from bench.sitting import LOST, Seat, sit, sittings
from forestay.terminal.crowd import raise_file_limit

_REST = 0.5
_STEP = 3
"""Rounds that are added at a time while an interval is too wide."""
INTERVAL = "95 %, sign test on the rounds' ratios"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of the rounds of one part."""

    part: Part
    rounds: Mapping[str, Sequence[Figures]]
    """By side: the base first, this tree second."""
    verdict: str
    ratio: More

    def medians(self) -> tuple[float, float]:
        """The base's and this tree's."""
        base, ours = (statistics.median(one[self.part.figure] for one in rounds) for rounds in self.rounds.values())
        return base, ours

    def row(self) -> list[str]:
        base, ours = self.medians()
        least, most = (f"{1 + end / 100:.3f}" for end in (self.ratio.least, self.ratio.most))
        ratio, limit = f"{1 + self.ratio.percent / 100:.3f}", f"{1 + self.part.limit / 100:.2f}"
        count = str(len(next(iter(self.rounds.values()))))
        name = f"{self.part.label}, {self.part.figure}"
        return [name, f"{base:.2f}", f"{ours:.2f}", ratio, f"{least} to {most}", count, limit, self.verdict]

    def as_json(self) -> dict[str, object]:
        least, most = (1 + end / 100 if math.isfinite(end) else None for end in (self.ratio.least, self.ratio.most))
        return {
            "label": self.part.label,
            "figure": self.part.figure,
            "medians": dict(zip(self.rounds, self.medians(), strict=True)),
            "ratio": 1 + self.ratio.percent / 100,
            "interval": [least, most],
            "limit": 1 + self.part.limit / 100,
            "verdict": self.verdict,
            "rounds": self.rounds,
        }


def compare(part: Part, sides: Mapping[str, Checkout], given: argparse.Namespace) -> Outcome:
    """Play rounds of a part until its interval is narrow enough, or there were too many."""
    base, ours = sides
    found: dict[str, list[Figures]] = {}
    due = given.rounds
    print(f"{part.label}:", flush=True)
    while due > 0:
        sittings(due, partial(_sit, part, sides), found)
        ratio = more(found, part.figure, base)[ours]
        wide = ratio.width > given.width and not given.quick
        due = min(_STEP, given.most_rounds - len(found[base])) if wide else 0
    verdict = "not judged" if given.quick else ratio.judged(part.limit, given.width)
    lost, also_lost = (sum(one.get(LOST, 0) for one in found[side]) for side in (ours, base))
    return Outcome(part, found, f"lost {lost:g} of {ours}" if lost > also_lost else verdict, ratio)


def _sit(part: Part, sides: Mapping[str, Checkout]) -> dict[str, Figures]:
    servers = {side: part.serve(checkout) for side, checkout in sides.items()}

    def evaluate(seats: Mapping[str, Seat]) -> dict[str, Figures]:
        return {side: seats[side].figures(seats[side].cpu) for side in sides}

    return sit(servers, lambda _, server: part.work(server), part.turns, evaluate, rest=_REST)


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the table."""
    base, ours = outcomes[0].rounds
    head = ["", base, ours, "ratio", "interval", "rounds", "limit", ""]
    rows = [head, *(outcome.row() for outcome in outcomes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"\n{ours} against {base}: medians; ratio of each round's two, its median and interval ({INTERVAL})")
    for name, *cells, verdict in rows:
        middle = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=False))
        print(f"{name.ljust(widths[0])}  {middle}  {verdict}".rstrip())


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench compare", description=__doc__)
    parser.add_argument("revision", help="the git revision to compare this tree with")
    parser.add_argument("--bench", action="append", choices=BENCHES, help=f"may be repeated ({' '.join(USUAL)})")
    parser.add_argument("--rates", default="20,100,500", help="fan-out: messages per second in all (20,100,500)")
    parser.add_argument("--rooms", type=int, default=1, help="fan-out: over how many rooms (1)")
    parser.add_argument("--inbound-rate", type=float, default=20, help="inbound: messages/s of each publisher (20)")
    parser.add_argument("--seconds", type=float, default=4.5, help="seconds of load on each server in a round (4.5)")
    parser.add_argument("--rounds", type=int, default=12, help="rounds at first (12)")
    parser.add_argument("--width", type=float, default=4, help="percent that an interval may be wide (4)")
    parser.add_argument("--most-rounds", type=int, default=48, help="rounds after which it ends, however wide (48)")
    parser.add_argument("--cpu-limit", type=float, default=2, help="percent more CPU that this tree may take (2)")
    parser.add_argument("--memory-limit", type=float, default=3, help="percent more memory that it may take (3)")
    parser.add_argument("--control", action="store_true", help="the revision against itself: shows the noise")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds and what came of them")
    parser.add_argument("--quick", action="store_true", help="show that it works; measures and judges nothing")
    found = parser.parse_args(given)
    if found.quick:
        found.rounds, found.seconds = 1, min(found.seconds, 0.6)
    elif found.most_rounds < max(FEWEST, found.rounds):
        parser.error(f"--most-rounds is at least {FEWEST}, and not below --rounds: fewer have no interval")
    return found


def terms(given: argparse.Namespace) -> Terms:
    """The given arguments that shape the parts."""
    rates = [float(rate) for rate in given.rates.split(",")]
    limits = {"cpu": given.cpu_limit, "memory": given.memory_limit}
    return Terms(rates, given.rooms, given.inbound_rate, given.seconds, limits, given.quick)


def main() -> None:
    given = arguments()
    # The worktree is removed and the servers are ended, as after an error.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    raise_file_limit()
    parts = chosen(given.bench or USUAL, terms(given))
    try:
        with ExitStack() as stack:
            base = stack.enter_context(checked_out(given.revision))
            name = revision_of(base)
            other, again = (base, f"{name} again") if given.control else (recognise(ROOT), "this tree")
            both = stack.enter_context(runnable(base, other))
            sides = dict(zip((name, again), both, strict=True))
            for side, checkout in sides.items():
                print(f"{side}: {revision_of(checkout)}, package {checkout.package}", flush=True)
            outcomes = [compare(part, sides, given) for part in parts]
    except Unusable as unusable:
        print(f"compare: {unusable}", file=sys.stderr)
        sys.exit(2)
    show(outcomes)
    if given.json is not None:
        found = {"sides": list(sides), "interval": INTERVAL, "figures": [outcome.as_json() for outcome in outcomes]}
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(any(outcome.verdict not in ("holds", "not judged") for outcome in outcomes))


if __name__ == "__main__":
    main()
