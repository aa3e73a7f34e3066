"""What we want to reach beside the servers of others, and whether the rounds show it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.paired import more
from bench.rounds import Figures, medians

_DELIVERIES, _P99 = "k deliveries/CPU-s", "p99 ms"
OTHERS = "each other one"
"""The peer of a goal that holds against every server which has no goal of its own for the same figure."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a figure, by that of a peer in the same round; or on the figure itself."""

    bench: str
    figure: str
    peer: str | None
    bound: float
    at_least: bool = True

    def wanted(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.bound:g}"


GOALS: Sequence[Goal] = (
    Goal("inbound", "us CPU/message", "ws", 1.05, at_least=False),
    Goal("small-2000", _DELIVERIES, "ws", 1.0),
    Goal("small-2000", _DELIVERIES, "uws", 0.65),
    Goal("small-2000", _DELIVERIES, "centrifugo", 2.0),
    Goal("fanout-500", _DELIVERIES, "uws", 1.5),
    Goal("fanout-500", _P99, "uws", 1.3, at_least=False),
    Goal("fanout-100", _DELIVERIES, "uws", 1.0),
    Goal("fanout-100", _P99, "uws", 1.3, at_least=False),
    Goal("fanout-20", _DELIVERIES, "uws", 0.9),
    Goal("fanout-20", _DELIVERIES, OTHERS, 1.0),
    Goal("beside", _P99, None, 3.0, at_least=False),
    Goal("pods-1000", _DELIVERIES, "centrifugo", 2.5),
    Goal("connect", "connections/CPU-s", "centrifugo", 1.0),
    Goal("idle", "KiB/connection", None, 11.0, at_least=False),
)
COLUMNS = ("bench", "figure", "by", "wanted", "found", "interval", "rounds", "")


def judged(bench: str, found: Mapping[str, Sequence[Figures]], ours: str) -> list[tuple[str, ...]]:
    """A row of `COLUMNS` for each goal of the bench, for our server called `ours`."""
    goals = [goal for goal in GOALS if goal.bench == bench] if ours in found else []
    named = {goal.peer for goal in goals}
    rows = []
    for goal in goals:
        peers = [goal.peer]
        if goal.peer == OTHERS:
            peers = [name for name in found if name not in named and not name.startswith("forestay")]
        rows += [_row(goal, found, ours, peer) for peer in peers if peer is None or peer in found]
    return rows


def _row(goal: Goal, found: Mapping[str, Sequence[Figures]], ours: str, peer: str | None) -> tuple[str, ...]:
    rounds = found[ours]
    if peer is None:
        middle, least, most = medians({ours: rounds})[ours][goal.figure], -math.inf, math.inf
        values = sorted(figures[goal.figure] for figures in rounds)
        interval = f"{values[0]:.2f} to {values[-1]:.2f}"
    else:
        percent, least, most = more({ours: rounds, peer: found[peer]}, goal.figure, peer)[ours]
        middle, least, most = (1 + value / 100 for value in (percent, least, most))
        interval = f"{least:.2f} to {most:.2f}" if math.isfinite(most) else "too few rounds"
    shown = (goal.bench, goal.figure, peer or "itself", goal.wanted(), f"{middle:.2f}", interval, str(len(rounds)))
    return (*shown, _verdict(goal, middle, least if goal.at_least else most))


def _verdict(goal: Goal, middle: float, worst: float) -> str:
    """`reached` by the median; with `not certain` where the interval crosses the bound."""
    sign = 1 if goal.at_least else -1
    if sign * (middle - goal.bound) < 0:
        return "not reached"
    certain = math.isfinite(worst) and sign * (worst - goal.bound) >= 0
    return "reached" if certain else "reached, not certain"
