"""Sums the coverage of files by folder, and compares folders with their floors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

FLOORS: Final = {"core": 89, "protocol": 96}
"""Per cent that the tests of a folder must run of it, by themselves. Raise a floor when its tests have grown."""


@dataclass(slots=True)
class Sum:
    """What there is to run below one folder, and what ran: statements and branches together."""

    there: int = 0
    ran: int = 0

    @property
    def percent(self) -> float:
        return 100 * self.ran / self.there if self.there else 100.0


def by_folder(files: Mapping[str, Any], package: str = "forestay") -> dict[str, Sum]:
    """A sum for each folder of the package, all folders below it included; `.` is the package itself.

    `files`: the entry of that name in the JSON report of coverage.
    """
    sums: dict[str, Sum] = {}
    for path, measured in files.items():
        said = measured["summary"]
        for folder in _folders(PurePosixPath(path), package):
            total = sums.setdefault(folder, Sum())
            total.there += said["num_statements"] + said["num_branches"]
            total.ran += said["covered_lines"] + said["covered_branches"]
    return dict(sorted(sums.items()))


def table(sums: Mapping[str, Sum]) -> str:
    """A line for each folder."""
    width = max(map(len, sums))
    lines = [f"{folder:{width}}  {total.there:>7}  {total.percent:5.1f} %" for folder, total in sums.items()]
    return "\n".join([f"{'folder':{width}}  {'to run':>7}  {'ran':>7}", *lines])


def too_low(sums: Mapping[str, Sum]) -> list[str]:
    """A sentence for each folder that is below its floor."""
    return [
        f"{folder}: {found:.1f} % ran, and the floor is {floor} %"
        for folder, floor in FLOORS.items()
        if (found := sums.get(folder, Sum(there=1)).percent) < floor
    ]


def _folders(path: PurePosixPath, package: str) -> Iterator[str]:
    below = path.parts[path.parts.index(package) + 1 : -1]
    yield "."
    for depth in range(1, len(below) + 1):
        yield "/".join(below[:depth])
