"""Runs real scrapers and collectors beside a gateway, and compares with docs/operating.md and docs/tracing.md.

`python -m tests.collectors` takes some minutes, and more where it has to compile them first, into `.issuers_cache` or
the folder that ISSUERS_CACHE names. It exits with 1 where a verdict is not that of the page at the same version, with 2
where one cannot be had here. `--write` writes the pages.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from tests.collectors.scrapers import SCRAPERS
from tests.collectors.stage import front, gateway
from tests.collectors.tracers import TRACERS
from tests.support import prometheus
from tests.support.descendants import nothing_left
from tests.support.fetched import Missing, say
from tests.support.otlp_sink import sink
from tests.support.repository import ROOT

_TABLE: Final = re.compile(r"(?<=<!-- make collectors -->\n)\|.*?\n(?=<!-- end -->)", re.DOTALL)

Verdicts = dict[str, Mapping[str, str]]
"""By name with version, what was seen."""

PAGES: Final = {"docs/operating.md": SCRAPERS, "docs/tracing.md": TRACERS}


def read(page: str) -> Verdicts:
    """The verdicts of a page."""
    found = _TABLE.search((ROOT / page).read_text(encoding="utf-8"))
    if found is None:
        return {}
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def write(page: str, seen: Verdicts) -> None:
    """Write verdicts into a page, in place of those of the same names."""
    known = read(page)
    rows: Verdicts = {}
    for name in PAGES[page]:
        found = {row: verdicts for row, verdicts in seen.items() if row.startswith(f"{name} ")}
        rows |= found or {row: verdicts for row, verdicts in known.items() if row.startswith(f"{name} ")}
    titles = list(next(iter(rows.values())))
    lines = [["", *titles], ["---"] * (len(titles) + 1), *([name, *found.values()] for name, found in rows.items())]
    text = (ROOT / page).read_text(encoding="utf-8")
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (ROOT / page).write_text(_TABLE.sub(lambda _: table, text), encoding="utf-8")


async def scraped(name: str, place: Path) -> Mapping[str, str]:
    """What a scraper has. Raises Missing."""
    async with sink() as behind, gateway(f"http://127.0.0.1:{behind.port}") as process, front(process) as seen:
        return await SCRAPERS[name][1](seen, place)


async def play(page: str, name: str) -> Mapping[str, str]:
    """What one of them has. Raises Missing."""
    with tempfile.TemporaryDirectory() as folder:
        if page == "docs/operating.md":
            return await scraped(name, Path(folder))
        return await TRACERS[name][1](Path(folder))


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
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    status = 0
    for page, kinds in PAGES.items():
        known, seen = read(page), Verdicts()
        for name, (version, _) in kinds.items():
            if given.only.lower() not in name.lower():
                continue
            try:
                found = asyncio.run(play(page, name))
            except Missing as missing:
                say(f"left out: {name}, because {missing}")
                status = status or 2
                continue
            row = titled(name, version)
            seen[row] = found
            say(f"{row}: {', '.join(f'{title}: {verdict}' for title, verdict in found.items())}")
            if not given.write and found != known.get(row, found):
                say(f"{page} has: {', '.join(f'{title}: {verdict}' for title, verdict in known[row].items())}")
                status = 1
        if given.write and seen:
            write(page, seen)
    return status


if __name__ == "__main__":
    with nothing_left():
        sys.exit(main())
