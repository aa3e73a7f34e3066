"""How much more one case takes than another, from rounds with both of them: a median and its confidence interval.

The servers of one round ran under the same conditions, so their ratio is more exact than a ratio of medians.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.rounds import Figures

FEWEST = 6
"""Rounds below which an interval has no ends."""


class More(NamedTuple):
    """In percent: the median of the rounds' ratios less one, and where it lies with 95 % certainty."""

    percent: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.percent:+.1f} % ({self.least:+.1f} to {self.most:+.1f})"

    def figures(self, of: str) -> Figures:
        """As columns of a table."""
        return {f"more {of} %": self.percent, "at least %": self.least, "at most %": self.most}

    @property
    def width(self) -> float:
        """The width of the interval."""
        return self.most - self.least

    def judged(self, limit: float, width: float) -> str:
        """Whether the rounds are compatible with at most `limit`, if their interval is at most `width` wide."""
        if self.least > limit:
            return "does not hold"
        return "holds" if self.width <= width else "too wide"

    def verdict(self, limit: float) -> str:
        """Whether it is at most `limit`, as far as the rounds show."""
        if self.most <= limit:
            return "is"
        return "is not" if self.least > limit else "may be"


def more(found: Mapping[str, Sequence[Figures]], figure: str, base: str) -> dict[str, More]:
    """How much more of `figure` each case takes than `base`."""
    return {
        case: _more([one[figure] / other[figure] for one, other in zip(rounds, found[base], strict=True)])
        for case, rounds in found.items()
    }


def _more(ratios: Sequence[float]) -> More:
    ordered = sorted(ratios)
    rank = _rank(len(ordered))
    outside = (ordered[rank], ordered[-1 - rank]) if rank is not None else (0.0, math.inf)
    return More(*((ratio - 1) * 100 for ratio in (statistics.median(ordered), *outside)))


def _rank(number: int) -> int | None:
    """How many values on each side may be left out so that the rest holds the median with 95 % certainty.

    Each value lies below the true median with even odds, whatever their distribution. None: there are too few.
    """
    below, rank = 0.0, None
    for left_out in range(number // 2):
        below += math.comb(number, left_out) / 2**number
        if below > 0.025:
            break
        rank = left_out
    return rank
