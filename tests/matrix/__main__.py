"""Plays the same checks to client libraries of six languages, and compares with docs/clients.md.

`python -m tests.matrix` takes some minutes. It fetches the libraries and builds a program of each once, into
`.clients_cache` or the folder that CLIENTS_CACHE names, and installs nothing. It exits with 1 where a verdict is not
that of the page at the same version, and with 2 where a library was left out; another version is only named.
"""

import argparse
import sys
from functools import partial
from typing import Final

from tests.matrix.builders import build
from tests.matrix.checks import CHECKS
from tests.matrix.libraries import LANGUAGES, Library, read
from tests.matrix.stage import Unexpected
from tests.support.descendants import nothing_left
from tests.support.fetched import say
from tests.support.repository import ROOT
from tests.support.verdicts import Table, tried

PAGE: Final = "docs/clients.md"
ROWS: Final = [row for row, _ in CHECKS]


def table(language: str) -> Table:
    """The one of this language on the page."""
    return Table(ROOT / PAGE, f"make clients-matrix: {language}")


async def play(name: str, only: str) -> tuple[str, dict[str, str]]:
    """The verdicts of one library. Raises Missing."""
    [library] = [each for each in read() if each.name == name]
    program = build(library)
    title, found = f"{library.title} {program.version}", {}
    for row, check in CHECKS:
        if only in check.__name__:
            try:
                found[row] = await check(program)
            except Unexpected as unexpected:
                found[row] = f"fails: {unexpected}"
            except TimeoutError:
                found[row] = "fails: no end in time"
            say(f"{title}: {row}: {found[row]}")
    return title, found


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="libraries or languages; all of them by default")
    parser.add_argument("--only", default="", help="a part of the name of a check, such as paused")
    parser.add_argument("--write", action="store_true", help="write the verdicts into docs/clients.md")
    given = parser.parse_args()
    libraries = _chosen(parser, given.names)
    statuses = set()
    for language in dict.fromkeys(each.language for each in libraries):
        seen, left_out = tried(
            [each.name for each in libraries if each.language == language], partial(play, only=given.only)
        )
        titles = [each.column for each in read() if each.language == language]
        statuses.add(table(language).settle(seen, titles, ROWS, write=given.write) or left_out)
    return min(statuses - {0}, default=0)


def _chosen(parser: argparse.ArgumentParser, names: list[str]) -> list[Library]:
    every = read()
    known = {word for library in every for word in (library.name, library.language)}
    if unknown := set(names) - known:
        parser.error(f"no library {', '.join(sorted(unknown))}; there are {', '.join(each.name for each in every)}")
    return [each for each in every if not names or {each.name, each.language} & set(names)]


if __name__ == "__main__":
    assert set(LANGUAGES) >= {each.language for each in read()}
    with nothing_left():
        sys.exit(main())
