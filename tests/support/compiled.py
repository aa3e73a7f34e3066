"""The modules that a compiled wheel has, as pyproject.toml names them."""

import tomllib
from pathlib import Path
from typing import Any, Final

from pathspec import GitIgnoreSpec

from tests.support.repository import ROOT

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MYPYC: Final[dict[str, Any]] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["mypyc"]


def compiled_files() -> list[Path]:
    """The files that become modules in C, from the root of the tree."""
    include, exclude = GitIgnoreSpec.from_lines(MYPYC["include"]), GitIgnoreSpec.from_lines(MYPYC["exclude"])
    files = sorted(path.relative_to(ROOT) for path in (ROOT / "app").rglob("*.py"))
    return [file for file in files if include.match_file(file) and not exclude.match_file(file)]


def module_of(file: Path) -> str:
    """The name of the module in `file`."""
    return ".".join(file.with_suffix("").parts[1:])
