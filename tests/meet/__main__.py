"""Plays the same checks through real proxies in front of two pods, and compares with docs/proxies.md.

`python -m tests.meet` takes some minutes. It fetches the packages of Debian, and compiles Caddy and Traefik once, into
`.meet_cache` or the folder that MEET_CACHE names, and installs nothing. It exits with 1 where a verdict is not that of
the page at the same version; another version is only named. `--write` writes the page, for the proxies that are tried.
"""

import argparse
import asyncio
import sys
from typing import Final

import structlog

from tests.meet.checks import CHECKS
from tests.meet.kinds import KINDS
from tests.support.descendants import nothing_left
from tests.support.fetched import Missing, say
from tests.support.repository import ROOT
from tests.support.verdicts import Table, Verdicts

PAGE: Final = ROOT / "docs/proxies.md"
TABLE: Final = Table(PAGE, "make meet")


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
        TABLE.write(seen, [f"{name} " for name in KINDS], [row for row, _ in CHECKS])
        return status
    for sentence in TABLE.unknown(seen):
        say(sentence)
    for sentence in TABLE.differences(seen):
        status = max(status, 1)
        say(sentence)
    return status


if __name__ == "__main__":
    with nothing_left():
        sys.exit(main())
