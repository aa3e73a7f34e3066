"""Each finding has the form that findings/README.md states, a row there, and a link from the page that it explains."""

import os
import re
from pathlib import Path

import pytest

from tests.support.repository import ROOT, name, rows

PAGE = "findings/README.md"
SCRIPTS = sorted((ROOT / "findings").glob("*.sh"))
ROWS = {cells[0]: cells[1:] for cells in rows(PAGE, "Script") if cells[0] not in {"Script", "---"}}
COMPARED = """printf 'expected:\\n%s\\n' "$expected" >&2
    exit 1
fi
"""


def test_the_page_lists_the_scripts() -> None:
    """A row for each script and nothing else, in the order of the names."""
    assert list(ROWS) == [f"[{script.stem}]({script.name})" for script in SCRIPTS]
    others = [name(path) for path in (ROOT / "findings").iterdir() if path not in {*SCRIPTS, ROOT / PAGE}]
    assert others == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_row_says_what_its_script_says(script: Path) -> None:
    """The behaviour is the first line of its comment, the versions are in it, and the page of the docs links to it."""
    software, behaviour, explained = ROWS[f"[{script.stem}]({script.name})"]
    text = script.read_text(encoding="utf-8")
    assert text.splitlines()[1] == f"# {behaviour}"
    versions = re.findall(r"\d+(?:\.\d+)+", software)
    assert versions
    assert [version for version in versions if version not in text] == []
    [page] = re.findall(r"\(\.\./(.+)\)", explained)
    assert f"findings/{script.name})" in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_has_the_form(script: Path) -> None:
    """It can be started, says what was seen, cleans up its folder, compares what it sees, and needs no gateway."""
    text = script.read_text(encoding="utf-8")
    comment, _, program = text.partition("set -euo pipefail\nfolder=$(mktemp -d)\n")
    assert os.access(script, os.X_OK)
    assert re.fullmatch(r"#!/usr/bin/env bash\n# [^\n]+[.]\n#\n# Seen with [^\n]+\n(?:# [^\n]+\n)*", comment)
    assert 'rm -rf "$folder"' in program
    assert "trap " in program
    assert 'cd "$folder"\n' in program
    assert re.search(r"^seen=", program, re.MULTILINE)
    assert re.search(r"^expected=", program, re.MULTILINE)
    assert program.endswith(COMPARED)
    assert "forestay" not in text.lower()
