"""The table of coverage adds up."""

from typing import Any

from tests.cover.folders import FLOORS, Sum, by_folder, too_low


def _file(statements: int, covered: int, branches: int = 0, taken: int = 0) -> dict[str, Any]:
    said = {"num_statements": statements, "covered_lines": covered, "num_branches": branches, "covered_branches": taken}
    return {"summary": said}


def test_a_folder_has_the_sum_of_what_is_below_it() -> None:
    """Statements and branches of all files below a folder count for it, wherever the package is installed."""
    sums = by_folder(
        {
            "app/forestay/cli.py": _file(10, 0),
            "app/forestay/core/rooms/presence.py": _file(6, 3, 4, 1),
            "app/forestay/core/rules/access.py": _file(10, 10),
        }
    )
    assert sums == {".": Sum(30, 14), "core": Sum(20, 14), "core/rooms": Sum(10, 4), "core/rules": Sum(10, 10)}
    assert sums["core"].percent == 70


def test_a_folder_below_its_floor_is_named() -> None:
    """A folder that lost coverage is named with what it has and what it needs; so is a folder that was not measured."""
    enough = {folder: Sum(100, floor) for folder, floor in FLOORS.items()}
    assert too_low(enough) == []
    assert too_low({**enough, "core": Sum(1000, FLOORS["core"] * 10 - 1)}) == [
        f"core: {FLOORS['core'] - 0.1:.1f} % ran, and the floor is {FLOORS['core']} %"
    ]
    assert len(too_low({})) == len(FLOORS)
