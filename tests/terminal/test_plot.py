"""Numbers that are drawn with characters."""

import math

from forestay.terminal.plot import histogram, sparkline


def test_a_histogram_has_a_line_for_each_bucket() -> None:
    """The bars are as long as their share of the largest, and an empty bucket between two others has a line too."""
    values = [0.3] * 10 + [1.0] * 20 + [7.0] * 10
    lines = [line.split("ms") for line in histogram(values)]
    assert [bounds.split() for bounds, _ in lines] == [
        ["0.2", "to", "0.5"],
        ["0.5", "to", "1"],
        ["1", "to", "2"],
        ["2", "to", "5"],
        ["5", "to", "10"],
    ]
    assert [bar.count("█") for _, bar in lines] == [20, 0, 40, 0, 20]
    assert [bar.split()[-1] for _, bar in lines] == ["25.0%", "0.0%", "50.0%", "0.0%", "25.0%"]


def test_a_bucket_begins_at_its_bound() -> None:
    """A value on a bound belongs to the bucket that begins there, and no value is too small or too large."""
    for value in (0.01, 0.02, 0.05, 0.1, 1, 2, 5, 10, 20, 50, 1000):
        [line] = histogram([value])
        assert line.split()[0] == f"{value:g}"
    assert histogram([0.0]) == histogram([0.01])


def test_a_line_has_a_character_for_each_value() -> None:
    """The largest value is a full block, the smallest a flat one, and NaN is a gap."""
    assert sparkline([0, 5, math.nan, 10]) == "▁▅ █ (up to 10.0 ms)"
    assert sparkline([math.nan]) == sparkline([]) == ""
