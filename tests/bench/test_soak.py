"""The soak sees what grows, and is not alarmed by what only goes up and down."""

import math
import random
import subprocess
import sys

import pytest

from bench.slope import grows, slope
from tests.support.repository import ROOT

TIMES = [5.0 * number for number in range(120)]
"""Ten minutes."""


def wobbling(per_hour: float, wobble: float) -> list[float]:
    """Samples that grow by `per_hour`, and wobble by chance and in waves."""
    dice = random.Random(7)
    return [80 + per_hour * at / 3600 + wobble * (math.sin(at / 20) + dice.gauss(0, 1)) for at in TIMES]


def test_a_straight_line_has_its_slope() -> None:
    """Without noise the slope is exact, and so is its interval."""
    found = slope(TIMES, [3 + at / 360 for at in TIMES])
    assert found.middle == pytest.approx(10)
    assert found.least == pytest.approx(10)
    assert found.rise == pytest.approx(10 * TIMES[-1] / 3600)


@pytest.mark.parametrize(("per_hour", "growing"), [(60, True), (30, True), (2, False), (0, False), (-60, False)])
def test_what_grows_is_found_behind_the_noise(per_hour: float, growing: bool) -> None:  # noqa: FBT001  # a table's column
    """A leak of 30 MiB an hour is found within ten minutes; what stays within the noise is not called one."""
    assert grows(slope(TIMES, wobbling(per_hour, 0.5)), 1.0, 2.0) is growing


def test_a_few_wild_samples_change_nothing() -> None:
    """While Redis restarts, or a pod drains, a sample may be anything."""
    calm, wild = wobbling(0, 0.1), wobbling(0, 0.1)
    for number in range(0, 120, 12):
        wild[number] += 500
    assert abs(slope(TIMES, wild).middle - slope(TIMES, calm).middle) < 1
    assert not grows(slope(TIMES, wild), 1.0, 2.0)


def test_a_step_at_the_beginning_is_no_slope_of_the_rest() -> None:
    """Memory that finds its size in the first minute of the measured time does not count as growth."""
    stepped = [80.0 if at < 60 else 90.0 for at in TIMES]
    assert not grows(slope(TIMES, stepped), 1.0, 2.0)


@pytest.mark.slow
def test_a_short_soak_runs_to_its_end() -> None:
    """`python -m bench soak --quick` has clients of each kind, a drain and a restart of Redis, and leaves nothing."""
    command = [sys.executable, "-m", "bench", "soak", "--quick"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("talks", "vanishes", "is slow", "has no right", "drains", "restarts of Redis"):
        assert what in done.stdout
