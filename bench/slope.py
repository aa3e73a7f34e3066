"""Says whether a row of samples grows: by the median of all slopes between two samples, and by how sure that is."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Two-sided 95 % of the normal distribution.
_NORMAL = 1.96


@dataclass(frozen=True, slots=True)
class Slope:
    """How fast something grows, per hour."""

    middle: float
    """The median of the slopes between all pairs of samples (Theil and Sen). A few wild samples do not move it."""
    least: float
    """The lower end of its interval of 95 % (Sen)."""
    rise: float
    """By how much the middle slope has raised it over the whole time."""


def slope(times: Sequence[float], values: Sequence[float]) -> Slope:
    """The slope of `values` at `times`, in seconds. Needs two samples at least."""
    number = len(times)
    pairs = sorted(
        (values[b] - values[a]) / (times[b] - times[a]) * 3600 for a in range(number) for b in range(a + 1, number)
    )
    middle = statistics.median(pairs)
    # The variance of Kendall's S says how many of the pairs lie outside of the interval.
    spread = _NORMAL * math.sqrt(number * (number - 1) * (2 * number + 5) / 18)
    below = max(0, math.floor((len(pairs) - spread) / 2))
    return Slope(middle, pairs[below], middle * (times[-1] - times[0]) / 3600)


def grows(found: Slope, per_hour: float, noise: float) -> bool:
    """Whether something surely grows by more than `per_hour`, and has grown by more than its `noise` meanwhile."""
    return found.least > per_hour and found.rise > noise
