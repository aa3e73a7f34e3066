"""Links between the pages lead to existing files and headings."""

import re
from pathlib import Path

from docs.site.pages import parts
from tests.support.repository import ROOT, files, name

LINK = re.compile(r"(?<!\\)\]\(\s*<?([^)>\s]+)>?(?:\s+[\"'][^)]*)?\)|^\s*\[[^\]^]+\]:\s*<?(\S+?)>?\s*$", re.MULTILINE)


def test_links_resolve() -> None:
    """Each relative link in a Markdown file names an existing file, and an existing heading if it names one."""
    broken = [
        f"{name(page)} -> {target}"
        for page in files()
        if page.suffix == ".md"
        for target in _targets(page)
        if not _resolves(page, target)
    ]
    assert broken == []


def _targets(page: Path) -> list[str]:
    found = [inline or reference for inline, reference in LINK.findall(_prose(page))]
    return [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def _resolves(page: Path, target: str) -> bool:
    path, _, heading = target.partition("#")
    # A leading slash is the root of the project, as on a code host.
    there = (ROOT / path[1:] if path.startswith("/") else page.parent / path).resolve() if path else page
    if not there.is_relative_to(ROOT) or not there.exists():
        return False
    return not heading or there.suffix != ".md" or heading in _anchors(there)


def _anchors(page: Path) -> set[str]:
    """The anchors that a code host makes of the headings of a page."""
    anchors: set[str] = set()
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*\s*$", _prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        repeats = 0
        while (unique := f"{anchor}-{repeats}" if repeats else anchor) in anchors:
            repeats += 1
        anchors.add(unique)
    return anchors | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", page.read_text(encoding="utf-8")))


def _prose(page: Path) -> str:
    """The page without its code."""
    return "".join(part for part, is_code in parts(page.read_text(encoding="utf-8")) if not is_code)
