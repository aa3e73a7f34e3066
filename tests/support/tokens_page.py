"""Reads docs/tokens.md: the settings and the programs of its sections, which tests use as they are."""

import re
from pathlib import Path
from typing import Final

from tests.support.repository import blocks

PAGE: Final = "docs/tokens.md"


def block(heading: str, language: str) -> str:
    """The one block of code in this language right below a heading."""
    [found] = blocks(PAGE, language, f"(?:With )?{re.escape(heading)}")
    return found


def settings_of(heading: str) -> dict[str, str]:
    """The settings of a section, by their names in lower case."""
    lines = block(heading, "sh").splitlines()
    return {key.removeprefix("FORESTAY_").lower(): value for key, _, value in (line.partition("=") for line in lines)}


def rooms_file(heading: str, folder: Path) -> str:
    """The path of a file with the tables of a section."""
    file = folder / "rooms.toml"
    file.write_text(block(heading, "toml"), encoding="utf-8")
    return str(file)
