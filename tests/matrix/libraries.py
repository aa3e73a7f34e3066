"""The client libraries, in their versions. libraries.toml has them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.repository import ROOT

HERE: Final = ROOT / "tests" / "matrix"

LANGUAGES: Final = {
    "python": "Python",
    "javascript": "JavaScript",
    "go": "Go",
    "rust": "Rust",
    "java": "Java",
    "cpp": "C++",
}
"""In the order of the page. Each has a folder of programs, and a table on the page."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library, or a runtime with a WebSocket of its own."""

    name: str
    """What selects it."""
    title: str
    """How the page calls it."""
    language: str
    source: str
    """The file of its program, in the folder of the language."""
    version: str = ""
    """Empty: that of the runtime, or of the package of Debian."""
    major: str = ""
    """Of a runtime that is here in several versions: what its version begins with, such as `22.`."""
    needs: Mapping[str, Any] = field(default_factory=dict)
    """What its program is built with, by the registry of the language: names of packages, and their versions."""
    runtime: str = ""
    """The one of tests/support/js_runtimes that runs it. Empty: the Node of this environment."""

    @property
    def column(self) -> str:
        """What its title on the page begins with. The rest is the version."""
        return f"{self.title} {self.major}"

    @property
    def program(self) -> Path:
        return HERE / "programs" / self.language / self.source

    @property
    def sources(self) -> list[Path]:
        """The program, and what it shares with the others of its language."""
        return [self.program, *sorted(self.program.parent.glob("[tT]erminal.*"))]


def read() -> list[Library]:
    """All of them, by language."""
    tables = tomllib.loads((HERE / "libraries.toml").read_text(encoding="utf-8"))["library"]
    return sorted((Library(**table) for table in tables), key=lambda each: list(LANGUAGES).index(each.language))
