"""Prints how much of each folder the tests ran; with --floor, fails where that is too little. See `make cover`."""

import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

from tests.cover.folders import by_folder, table, too_low


def main(arguments: list[str]) -> int:
    measured = Coverage()
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "coverage.json")
        measured.json_report(outfile=str(report))
        sums = by_folder(json.loads(report.read_text(encoding="utf-8"))["files"])
    print(table(sums))
    faults = too_low(sums) if "--floor" in arguments else []
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


sys.exit(main(sys.argv[1:]))
