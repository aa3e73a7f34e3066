"""The tree in ARCHITECTURE.md and the modules tell the same story."""

import ast
import re
from pathlib import Path

from tests.support.repository import ROOT, modules, name, syntax

PAGE = ROOT / "ARCHITECTURE.md"
ENTRY = re.compile(r"(?P<indent> *)(?P<name>[\w.-]+\.py|[\w.-]+/)(?:  *(?P<caption>\S.*))?")


def test_the_page_shows_every_module_with_its_own_caption() -> None:
    """Each module of app/ stands in the tree, and the words beside it are the first line of its docstring."""
    shown, said = _shown(), {name(path): _said(path) for path in modules()}
    # A package speaks through its __init__, which the tree shows as the folder.
    said = {_entry(path): caption for path, caption in said.items()}
    assert {path: shown.get(path, "(not in the tree)") for path in said} == said


def test_the_page_shows_nothing_that_is_not_there() -> None:
    """Each line of the tree is a file or a folder."""
    assert [path for path in _shown() if not (ROOT / path).exists()] == []


def _entry(path: str) -> str:
    """Which line of the tree speaks for a module."""
    return path if path == "app/__init__.py" else path.removesuffix("__init__.py")


def _shown() -> dict[str, str]:
    """The captions of the tree, by path; a line that is indented and names nothing continues the one before it."""
    [tree] = re.findall(r"^```\w*\n(app/\n.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    captions: dict[str, str] = {}
    folders: list[tuple[int, str]] = []
    path = ""
    for line in tree.splitlines():
        if not line.strip():
            continue
        entry = ENTRY.fullmatch(line.rstrip())
        if entry is None:
            captions[path] += " " + line.strip()
            continue
        indent = len(entry["indent"])
        folders = [folder for folder in folders if folder[0] < indent]
        path = (folders[-1][1] if folders else "") + entry["name"]
        if path.endswith("/"):
            folders.append((indent, path))
        captions[path] = entry["caption"] or ""
    return {path: _normal(caption) for path, caption in captions.items()}


def _said(path: Path) -> str:
    docstring = ast.get_docstring(syntax(path))
    assert docstring, f"{name(path)} has no caption"
    return _normal(docstring.splitlines()[0])


def _normal(caption: str) -> str:
    """A caption without what differs between a sentence and a label."""
    words = " ".join(caption.split()).rstrip(".")
    return words[:1].lower() + words[1:]
