"""The changelog keeps its form, also after several branches were merged into it."""

import re

from tests.support.repository import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
ORDER = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
WIDTH = 120


def test_the_sections_of_a_version_are_in_order() -> None:
    """Each version has each section once at most, in the order of Keep a Changelog."""
    for version in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        found = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert found == [name for name in ORDER if name in found]


def test_an_entry_stands_apart() -> None:
    """There is one blank line between two entries, and no more."""
    assert re.findall(r"^.*\n(?=- )", TEXT, re.MULTILINE) == ["\n"] * len(re.findall(r"^- ", TEXT, re.MULTILINE))
    assert "\n\n\n" not in TEXT


def test_an_entry_is_there_once() -> None:
    """No version says the same twice."""
    for version in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        entries = [" ".join(entry.split()) for entry in re.split(r"^- |^### .*$", version, flags=re.MULTILINE)[1:]]
        assert [entry for entry in entries if entry and entries.count(entry) > 1] == []


def test_a_line_is_not_too_long() -> None:
    """Lines have the width of the other pages."""
    assert [line for line in TEXT.splitlines() if len(line) > WIDTH] == []
