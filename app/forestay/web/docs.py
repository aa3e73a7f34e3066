"""Serves the documentation in development, from the tree of the gateway: the built site, else its pages as text."""

from html import escape
from pathlib import Path
from typing import Final

from aiohttp import web

from forestay.web.answers import READING, Answer, content_type, only

_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
_INDEX: Final = """<!doctype html>
<html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>Forestay: documentation</title>
  <main>
    <h1>Documentation</h1>
    <p>The pages of this tree, as text. <code>make site</code> builds a site of them, and it is served here then.</p>
    <ul>
{items}
    </ul>
  </main>
</html>
"""


def docs_answers(tree: Path, prefix: str = "") -> dict[str, Answer]:
    """Returns the handlers of `/docs/…` by path; none where `tree` has no documentation, as in an installed package.

    `prefix`: the path in front of them. Files are read when they are asked for, so a page that is saved is shown.
    """
    built, sources = tree / "dist" / "site", tree / "docs"
    if (built / "index.html").is_file():
        files = {path.relative_to(built).as_posix(): path for path in built.rglob("*") if path.is_file()}
        answers = {f"{prefix}/docs/{name}": _file(path) for name, path in files.items()}
        answers[f"{prefix}/docs/"] = _file(built / "index.html")
        return answers
    pages = {path.relative_to(sources).as_posix(): path for path in sorted(sources.rglob("*.md"))}
    if not pages:
        return {}
    answers = {f"{prefix}/docs/{name}": _file(path) for name, path in pages.items()}
    answers[f"{prefix}/docs/"] = _index(pages)
    return answers


def _index(pages: dict[str, Path]) -> Answer:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        items = [f'      <li><a href="{escape(name)}">{escape(_title(path))}</a></li>' for name, path in pages.items()]
        return web.Response(text=_INDEX.format(items="\n".join(items)), content_type="text/html", headers=_HEADERS)

    return answer


def _title(page: Path) -> str:
    """The heading of a page."""
    return page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _file(path: Path) -> Answer:
    headers = {**_HEADERS, "Content-Type": content_type(path.name)}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.FileResponse(path, headers=headers)

    return only(READING, answer)
