"""The confidence interval of a ratio of pairs follows from its rounds."""

import math

from bench.paired import More, more
from bench.rounds import Figures


def rounds(*values: float) -> list[Figures]:
    return [{"cpu": value} for value in values]


def test_a_ratio_is_taken_within_each_round() -> None:
    """A machine that doubles its speed between rounds does not change the ratio."""
    base = [100.0, 100, 100, 50, 50, 50, 50]
    found = more({"a": rounds(*base), "b": rounds(*(value * 1.1 for value in base))}, "cpu", "a")
    assert all(math.isclose(value, 10) for value in found["b"])
    assert found["a"] == (0, 0, 0)


def test_the_interval_leaves_out_what_chance_may_have_put_there() -> None:
    """Of fifteen rounds the interval drops the three highest and the three lowest: at most 5 % risk."""
    shuffled = [107, 101, 115, 103, 109, 105, 111, 113, 102, 108, 104, 114, 106, 112, 110]
    found = more({"a": rounds(*[100] * 15), "b": rounds(*shuffled)}, "cpu", "a")["b"]
    assert [round(value, 6) for value in found] == [8, 4, 12]


def test_too_few_rounds_say_nothing() -> None:
    """Five rounds give no interval."""
    found = more({"a": rounds(*[100] * 5), "b": rounds(*[101] * 5)}, "cpu", "a")["b"]
    assert (found.least, found.most) == (-100, math.inf)
    assert found.verdict(2) == "may be"


def test_a_limit_is_kept_when_all_of_the_interval_is_below_it() -> None:
    """A limit is kept only if the whole interval is below it, not only the median."""
    assert More(1, 0, 1.9).verdict(2) == "is"
    assert More(1, 0, 2.1).verdict(2) == "may be"
    assert More(3, 2.1, 4).verdict(2) == "is not"
