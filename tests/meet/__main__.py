"""Plays the same checks through real proxies in front of two pods, and compares with docs/proxies.md.

`python -m tests.meet` takes some minutes. It fetches the packages of Debian, and compiles Caddy and Traefik once, into
`.meet_cache` or the folder that MEET_CACHE names, and installs nothing. It exits with 1 where a verdict is not that of
the page at the same version; another version is only named. `--write` writes the page, for the proxies that are tried.
"""

import argparse
import sys
from functools import partial
from typing import Final

from tests.meet.checks import CHECKS
from tests.meet.kinds import KINDS
from tests.support.descendants import nothing_left
from tests.support.fetched import say
from tests.support.repository import ROOT
from tests.support.verdicts import Table, tried

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
    seen, left_out = tried(given.proxies.split(","), partial(play, only=given.only))
    titles = [f"{name} " for name in KINDS]
    return TABLE.settle(seen, titles, [row for row, _ in CHECKS], write=given.write) or left_out


if __name__ == "__main__":
    with nothing_left():
        sys.exit(main())
