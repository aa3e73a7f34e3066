"""The tree is valid on any machine: it has no address, path or number with a meaning in one place only."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.support.repository import files, lines, name

# The user chooses the registry.
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|registry\.yarnpkg\.com|crates\.io|proxy\.golang\.org"
    r"|repo[\w.]*\.maven|deb\.debian\.org|npm\.pkg\.github",
    re.IGNORECASE,
)
# Home folders, and the usual folders of build machines. The image's own folders are allowed.
PLACES = re.compile(r"(?<![\w.}*-])/(?:root|work|home|Users)/\w")
# `owner/name#12` names another project's issue, which is allowed.
NUMBERS = re.compile(r"(?<![\w&/#])#\d{1,5}\b(?!-)|\b(?:issue|ticket|pull request)\s+#?\d", re.IGNORECASE)
# In these files a number after a hash is a colour.
COLOURED = {".css", ".html", ".js", ".svg", ".ts"}


def test_no_registry_is_named() -> None:
    """No file names the host of a package registry: locks have hashes and no addresses."""
    assert _found(REGISTRIES) == []


def test_no_path_of_one_machine_is_named() -> None:
    """No file names a folder of one person's machine."""
    assert _found(PLACES) == []


def test_no_tracker_is_needed_to_understand_a_line() -> None:
    """No file refers to a number in a tracker; the reason itself is written down."""
    assert _found(NUMBERS, lambda path: path.suffix not in COLOURED) == []


def _found(pattern: re.Pattern[str], wanted: Callable[[Path], bool] = lambda _: True) -> list[str]:
    return [
        f"{name(path)}:{number} {line.strip()[:160]}"
        for path in files()
        if wanted(path)
        for number, line in lines(path)
        if pattern.search(line)
    ]
