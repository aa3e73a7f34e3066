"""Runs real scrapers and collectors beside a gateway, and compares with docs/operating.md and docs/tracing.md.

`python -m tests.collectors` takes some minutes, and more where it has to compile them first, into `.issuers_cache` or
the folder that ISSUERS_CACHE names. It exits with 1 where a verdict is not that of the page at the same version, with 2
where one cannot be had here. `--write` writes the pages.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from tests.collectors.scrapers import SCRAPERS
from tests.collectors.stage import front, gateway
from tests.collectors.tracers import TRACERS
from tests.support import prometheus
from tests.support.descendants import nothing_left
from tests.support.fetched import say
from tests.support.otlp_sink import sink
from tests.support.repository import ROOT
from tests.support.verdicts import Table, tried

PAGES: Final = {"docs/operating.md": SCRAPERS, "docs/tracing.md": TRACERS}


def table(page: str) -> Table:
    """The one of a page."""
    return Table(ROOT / page, "make collectors", turned=True)


async def scraped(name: str, place: Path) -> Mapping[str, str]:
    """What a scraper has. Raises Missing."""
    async with sink() as behind, gateway(f"http://127.0.0.1:{behind.port}") as process, front(process) as seen:
        return await SCRAPERS[name][1](seen, place)


async def play(name: str, page: str) -> tuple[str, Mapping[str, str]]:
    """What one of them has. Raises Missing."""
    with tempfile.TemporaryDirectory() as folder:
        if page == "docs/operating.md":
            found = await scraped(name, Path(folder))
        else:
            found = await TRACERS[name][1](Path(folder))
    title = titled(name, PAGES[page][name][0])
    for check, verdict in found.items():
        say(f"{title}: {check}: {verdict}")
    return title, found


def titled(name: str, version: str) -> str:
    """The name with its version, as the page has it."""
    if not version and prometheus.PROGRAM is not None:
        said = subprocess.run([prometheus.PROGRAM, "--version"], capture_output=True, text=True, check=True)
        [version] = re.findall(r"version (\S+)", said.stdout + said.stderr)[:1]
    return f"{name} {version.removeprefix('v')}"


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.collectors", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="a part of a name")
    parser.add_argument("--write", action="store_true", help="write the verdicts into the pages")
    given = parser.parse_args()
    statuses = set()
    for page, kinds in PAGES.items():
        names = [name for name in kinds if given.only.lower() in name.lower()]
        seen, left_out = tried(names, partial(play, page=page))
        checks = list(next(iter((seen or table(page).read()).values()), ()))
        titles = [f"{name} " for name in kinds]
        statuses.add(table(page).settle(seen, titles, checks, write=given.write) or left_out)
    return min(statuses - {0}, default=0)


if __name__ == "__main__":
    with nothing_left():
        sys.exit(main())
