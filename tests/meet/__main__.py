"""Plays the same checks through real proxies in front of two pods, and compares with docs/proxies.md.

`python -m tests.meet` takes some minutes. It fetches the packages of Debian and compiles Caddy once, into `.meet_cache`
or the folder that MEET_CACHE names, and installs nothing. It exits with 1 where a verdict is not that of the page at
the same version; another version is only named. `--write` writes the page.
"""

import argparse
import asyncio
import re
import sys
from pathlib import Path
from typing import Final

import structlog

from tests.meet.checks import CHECKS
from tests.meet.programs import Missing, say
from tests.meet.proxies import KINDS
from tests.support.repository import ROOT

PAGE: Final = ROOT / "docs/proxies.md"
_TABLE: Final = re.compile(r"(?<=<!-- make meet -->\n)\|.*?\n(?=<!-- end -->)", re.DOTALL)

Verdicts = dict[str, dict[str, str]]
"""By proxy with its version, the verdict of each check."""


def read(page: Path) -> Verdicts:
    """The verdicts of the page."""
    found = _TABLE.search(page.read_text(encoding="utf-8"))
    if found is None:
        return {}
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()]
    return {name: {row[0]: row[at] for row in rows} for at, name in enumerate(head) if at}


def table(verdicts: Verdicts) -> str:
    """The table of the page."""
    rows = [["", *verdicts], ["---"] * (len(verdicts) + 1)]
    rows += [[title, *(found[title] for found in verdicts.values())] for title, _ in CHECKS]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


async def play(name: str, only: str) -> tuple[str, dict[str, str]]:
    """The verdicts of one proxy. Raises Missing."""
    kind = KINDS[name]
    title, found = f"{name} {kind.program().version}", {}
    for row, check in CHECKS:
        if only in check.__name__:
            found[row] = await check(kind)
            say(f"{title}: {row}: {found[row]}")
    return title, found


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.meet", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--proxies", default=",".join(KINDS), help="those to try, with commas; all of them by default")
    parser.add_argument("--only", default="", help="a part of the name of a check, such as reload")
    parser.add_argument("--write", action="store_true", help="write the verdicts into docs/proxies.md")
    given = parser.parse_args()
    # What the pods log belongs to no verdict.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    seen: Verdicts = {}
    status = 0
    for name in given.proxies.split(","):
        try:
            title, found = asyncio.run(play(name, given.only))
        except Missing as missing:
            say(f"left out: {name}, because {missing}")
            status = 2
            continue
        seen[title] = found
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(_TABLE.sub(lambda _: table(seen), text), encoding="utf-8")
        return status
    return max(status, compare(seen, read(PAGE)))


def compare(seen: Verdicts, known: Verdicts) -> int:
    """Name what differs from the page. 1 where that is at the version of the page."""
    status = 0
    for title, found in seen.items():
        if title not in known:
            say(f"{title} is not in {PAGE.name}, which has {', '.join(known) or 'none'}")
            continue
        for row, verdict in found.items():
            if verdict != known[title][row]:
                status = 1
                say(f"{title}: {row}: {verdict}; {PAGE.name} has: {known[title][row]}")
    return status


if __name__ == "__main__":
    sys.exit(main())
