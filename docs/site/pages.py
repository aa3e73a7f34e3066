"""Copies the pages of the tree, and what they link to, into a folder that the site is built from.

The copy has the paths of the tree, so links between pages stay as they are. A link to a file of source text leads to a
page that shows it, because the site has to work without the place where the source is hosted.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

_LINK: Final = re.compile(r"(?P<before>(?<!\\)\]\()(?P<path>[^)#\s]+)(?P<after>#[^)\s]*)?(?=\))")
_FENCE: Final = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)\s*$", re.DOTALL | re.MULTILINE)
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*:")
_PICTURES: Final = frozenset({".png", ".svg"})
_LANGUAGES: Final = {
    ".py": "python",
    ".sh": "bash",
    ".yaml": "yaml",
    ".toml": "toml",
    ".js": "js",
    ".mjs": "js",
    ".ts": "ts",
}
# By tools. What a code host reads is in a folder with a dot, and is no page.
_LEFT_BEHIND: Final = frozenset({"__pycache__", "build", "dist", "node_modules"})


def names() -> list[str]:
    """The paths of all pages from the root of the tree, sorted."""
    found: list[str] = []
    for folder, below, files in os.walk(ROOT):
        below[:] = [each for each in below if not each.startswith(".") and each not in _LEFT_BEHIND]
        found += [(Path(folder) / each).relative_to(ROOT).as_posix() for each in files if each.endswith(".md")]
    return sorted(found)


def lay(folder: Path) -> None:
    """Makes `folder` anew, with all pages and with what they link to."""
    shutil.rmtree(folder, ignore_errors=True)
    shown: set[str] = set()
    for name in names():
        _write(folder / name, _page(name, shown))
    while shown:
        for name in sorted(shown):
            shown.discard(name)
            _lay_shown(folder, name, shown)
    shutil.copytree(ROOT / "docs" / "site" / "assets", folder / "docs" / "site" / "assets")


def _page(name: str, shown: set[str]) -> str:
    """The text of a page, with links to files of source text moved to the pages that show them."""
    text = (ROOT / name).read_text(encoding="utf-8")

    def moved(link: re.Match[str]) -> str:
        path = link["path"]
        if _ADDRESS.match(path):
            return link[0]
        there = (ROOT / path[1:] if path.startswith("/") else (ROOT / name).parent / path).resolve()
        if there.suffix == ".md":
            return link[0]
        shown.add(there.relative_to(ROOT).as_posix())
        if there.suffix in _PICTURES:
            return link[0]
        return f"{link['before']}{path.rstrip('/')}{'/README.md' if there.is_dir() else '.md'}{link['after'] or ''}"

    return "".join(part if is_code else _LINK.sub(moved, part) for part, is_code in parts(text))


def parts(text: str) -> Iterator[tuple[str, bool]]:
    """The text in parts, each with whether it is a block of code."""
    end = 0
    for fence in _FENCE.finditer(text):
        yield text[end : fence.start()], False
        yield fence[0], True
        end = fence.end()
    yield text[end:], False


def _lay_shown(folder: Path, name: str, shown: set[str]) -> None:
    there = ROOT / name
    if there.is_dir():
        target = folder / name / "README.md"
        if not target.exists():
            files = sorted(path for path in there.iterdir() if path.is_file())
            shown.update(path.relative_to(ROOT).as_posix() for path in files)
            _write(
                target, _unlisted(f"# {name}/\n\n" + "".join(f"- [{path.name}]({path.name}.md)\n" for path in files))
            )
    elif there.suffix in _PICTURES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(there, folder / name)
    else:
        text = there.read_text(encoding="utf-8")
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
        language = _LANGUAGES.get(there.suffix, "text")
        _write(folder / f"{name}.md", _unlisted(f"# {name}\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"))


def _unlisted(text: str) -> str:
    """The page, which no search finds: readers search the documentation."""
    return f"---\nsearch:\n  exclude: true\n---\n\n{text}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
