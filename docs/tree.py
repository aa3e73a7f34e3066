"""Writes the tree of modules into ARCHITECTURE.md, each with the caption from its docstring."""

import ast
import re
import textwrap
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "ARCHITECTURE.md"
PACKAGE: Final = ROOT / "app" / "forestay"

_WIDTH: Final = 120
_TREE: Final = re.compile(r"^```\nforestay/\n.*?^```$", re.DOTALL | re.MULTILINE)


def tree() -> str:
    """The tree of the package as text: folders after modules, each line with its caption."""
    return "\n".join(["forestay/", *_lines(PACKAGE, 1)])


def page() -> str:
    """ARCHITECTURE.md with the tree as the modules have it now."""
    fresh = f"```\n{tree()}\n```"
    return _TREE.sub(lambda _: fresh, PAGE.read_text(encoding="utf-8"), count=1)


def _lines(folder: Path, depth: int) -> list[str]:
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    folders = sorted(path.parent for path in folder.glob("*/__init__.py"))
    column = max((len(path.name) for path in modules), default=0) + 2
    lines: list[str] = []
    if depth == 1:
        lines += _entry("__init__.py", _caption(folder / "__init__.py"), depth, column)
    for path in modules:
        lines += _entry(path.name, _caption(path), depth, column)
    for path in folders:
        lines += ["", *_entry(f"{path.name}/", _caption(path / "__init__.py"), depth, len(path.name) + 3)]
        lines += _lines(path, depth + 1)
    return lines


def _entry(name: str, caption: str, depth: int, column: int) -> list[str]:
    first = "  " * depth + name.ljust(column)
    return textwrap.wrap(caption, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def _caption(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if docstring is None:
        raise ValueError(f"{path.relative_to(ROOT)} has no docstring; its first line is its caption in the tree")
    return docstring.splitlines()[0].rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
