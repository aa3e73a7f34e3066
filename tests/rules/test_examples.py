"""The examples are complete: each is listed, described, and pinned to what we test."""

import json
import re
from pathlib import Path

import pytest

from examples.__main__ import EXAMPLES
from tests.support.repository import ROOT, files, rows

FOLDER = ROOT / "examples"
PACKAGES = [file for file in files() if file.name == "package.json" and file.is_relative_to(FOLDER)]


def test_the_page_lists_every_example() -> None:
    """And each folder is an example that can be started, with a page of its own about it."""
    listed = {each for row in rows("examples/README.md", "Example") for each in re.findall(r"\[.+?\]\(.+?\)", row[0])}
    assert listed == {f"[{name}]({example.folder.name})" for name, example in EXAMPLES.items()}
    folders = {each for each in FOLDER.iterdir() if each.is_dir() and (each / "rooms.toml").exists()}
    assert folders == {example.folder for example in EXAMPLES.values()}
    assert all((folder / "README.md").exists() for folder in folders)


@pytest.mark.parametrize("file", PACKAGES, ids=lambda file: file.parent.name)
def test_npm_packages_have_exact_versions(file: Path) -> None:
    """An example starts with the packages that it was tested with."""
    asked = json.loads(file.read_text(encoding="utf-8"))["dependencies"]
    assert [each for each in asked.items() if not re.fullmatch(r"\d+\.\d+\.\d+", each[1])] == []
