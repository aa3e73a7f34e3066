"""Reads docs/tokens.md: the settings and the programs of its sections, which tests use as they are."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

from tests.support.repository import ROOT

PAGE: Final = ROOT / "docs/tokens.md"


@cache
def blocks(heading: str) -> Mapping[str, str]:
    """The blocks of code right below a heading, by their language."""
    text = PAGE.read_text(encoding="utf-8")
    [section] = re.findall(rf"^##+ (?:With )?{re.escape(heading)}\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    return dict(re.findall(r"^```(\w+)\n(.*?)^```", section, re.DOTALL | re.MULTILINE))


def block(heading: str, language: str) -> str:
    """The one of this language."""
    return blocks(heading)[language]


def settings_of(heading: str) -> dict[str, str]:
    """The settings of a section, by their names in lower case."""
    lines = block(heading, "sh").splitlines()
    return {key.removeprefix("FORESTAY_").lower(): value for key, _, value in (line.partition("=") for line in lines)}


def rooms_file(heading: str, folder: Path) -> str:
    """The path of a file with the tables of a section."""
    file = folder / "rooms.toml"
    file.write_text(block(heading, "toml"), encoding="utf-8")
    return str(file)
