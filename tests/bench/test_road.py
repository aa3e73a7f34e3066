"""`bench road` takes messages through a whole pod."""

import json
import subprocess
import sys

from bench.road_inside import ROOMS
from tests.support.repository import ROOT


def test_a_round_has_a_figure_for_each_kind_of_room() -> None:
    """It fails by itself where a message did not reach each member of its room."""
    command = [sys.executable, str(ROOT / "bench" / "road_inside.py"), str(4 * ROOMS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert list(found) == ["two", "four", "two, 8 a turn", "four, 8 a turn"]
    assert all(microseconds > 0 for microseconds in found.values())
