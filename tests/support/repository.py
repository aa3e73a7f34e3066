"""The project as files: what it ships, what its modules say about themselves, what its pages list."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Everything that is tracked or about to be, as git sees it; without git, everything that no tool left behind."""
    if not (ROOT / ".git").exists():
        left_behind = {"__pycache__", "build", "dist", "node_modules"}
        return tuple(
            path
            for path in sorted(ROOT.rglob("*"))
            if path.is_file()
            and not any(part.startswith(".") or part in left_behind for part in path.relative_to(ROOT).parts)
        )
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return tuple(path for name in sorted(listed.stdout.split("\0")) if name and (path := ROOT / name).is_file())


def modules(folder: str = "app") -> Iterator[Path]:
    """The Python modules below `folder`, the empty ones that only mark a package included."""
    return (path for path in files() if path.suffix == ".py" and path.is_relative_to(ROOT / folder))


def name(path: Path) -> str:
    """How messages call a file: its path from the root of the project."""
    return path.relative_to(ROOT).as_posix()


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file with their numbers; nothing for a file that is not text."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return iter(())
    return enumerate(text.splitlines(), start=1)


def rows(page: str, about: str = "") -> Iterator[list[str]]:
    """The cells of every table row on a Markdown page; with `about`, of tables whose first column is headed so."""
    head = ""
    for _, line in lines(ROOT / page):
        if not line.startswith("|"):
            head = ""
            continue
        # A `|` inside a cell is written `\|`.
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        head = head or cells[0]
        if not about or re.fullmatch(about, head, re.IGNORECASE):
            yield cells


def blocks(page: str, language: str = r"\w*", heading: str = "") -> list[str]:
    """The blocks of code on a Markdown page in `language`; with `heading`, of what stands right below it.

    Both are patterns.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    if heading:
        [text] = re.findall(rf"^##+ (?-s:{heading})\n(.*?)(?=^##+ |\Z)", text, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```(?:{language})\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def codes(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)
