"""The tree holds on any machine: no address, path or number in it means something in one place only."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.support.repository import files, lines, name

# Which registry a package comes from is the choice of whoever installs it.
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|crates\.io|proxy\.golang\.org"
    r"|repo[\w.]*\.maven|deb\.debian\.org|npm\.pkg\.github",
    re.IGNORECASE,
)
# A home, and the places where machines that build keep their trees. An image's own folders are not meant.
PLACES = re.compile(r"(?<![\w.}*-])/(?:root|work|home|Users)/\w")
# Of another project's numbers, `owner/name#12` says whose they are.
NUMBERS = re.compile(r"(?<![\w&/#])#\d{1,5}\b(?!-)|\b(?:issue|ticket|pull request)\s+#?\d", re.IGNORECASE)
# In these, a number behind a hash is a colour.
COLOURED = {".css", ".html", ".js", ".svg", ".ts"}


def test_no_registry_is_named() -> None:
    """No file names the host of a package registry: locks carry hashes, not addresses."""
    assert _found(REGISTRIES) == []


def test_no_path_of_one_machine_is_named() -> None:
    """No file names a folder that exists only where somebody once worked."""
    assert _found(PLACES) == []


def test_no_tracker_is_needed_to_understand_a_line() -> None:
    """No file refers to a number in a tracker; the reason itself is written down instead."""
    assert _found(NUMBERS, lambda path: path.suffix not in COLOURED) == []


def _found(pattern: re.Pattern[str], wanted: Callable[[Path], bool] = lambda _: True) -> list[str]:
    return [
        f"{name(path)}:{number} {line.strip()[:160]}"
        for path in files()
        if wanted(path)
        for number, line in lines(path)
        if pattern.search(line)
    ]
