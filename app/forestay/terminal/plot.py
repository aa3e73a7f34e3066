"""Draws numbers with characters: a histogram of many, and a line of a few in their order."""

import math
from collections.abc import Sequence
from typing import Final

_WIDTH: Final = 40
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
# Bounds of 1, 2 and 5 in each power of ten: latencies differ by factors, and these are round numbers.
_STEPS: Final = (1, 2, 5)


def histogram(values: Sequence[float], unit: str = "ms") -> list[str]:
    """One line for each bucket that lies between the smallest and the largest value: its bounds, a bar, its share.

    The bounds are 1, 2 and 5 times a power of ten. `values` has at least one number.
    """
    counts: dict[int, int] = {}
    for value in values:
        at = _bucket(value)
        counts[at] = counts.get(at, 0) + 1
    most = max(counts.values())
    lines = []
    for at in range(min(counts), max(counts) + 1):
        count = counts.get(at, 0)
        bar = "█" * math.ceil(count / most * _WIDTH)
        lines.append(f"{_bound(at):>6} to {_bound(at + 1):<5} {unit} {bar:<{_WIDTH}} {count / len(values):6.1%}")
    return lines


def sparkline(values: Sequence[float]) -> str:
    """One character for each value, as high as the value is beside the largest one; a gap for NaN."""
    known = [value for value in values if not math.isnan(value)]
    most = max(known, default=0.0) or 1.0
    line = (" " if math.isnan(value) else _BLOCKS[round(value / most * (len(_BLOCKS) - 1))] for value in values)
    return f"{''.join(line)} (up to {max(known):.1f} ms)" if known else ""


def _bucket(value: float) -> int:
    """The number of the bucket: 0 begins at 1, and 3 begins at 10. What is below 0.01 counts with it."""
    least = max(value, 0.01)
    power = math.floor(math.log10(least))
    step = sum(least >= bound * 10.0**power for bound in _STEPS[1:])
    return power * len(_STEPS) + step


def _bound(at: int) -> str:
    power, step = divmod(at, len(_STEPS))
    return f"{_STEPS[step] * 10.0**power:g}"
