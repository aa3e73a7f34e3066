"""Has real issuers sign tokens, plays them to a real gateway, and compares with docs/tokens.md.

`python -m tests.issuers` takes some minutes. It fetches the issuers from Maven, npm and PyPI once, into
`.issuers_cache` or the folder that ISSUERS_CACHE names, and installs nothing. It exits with 1 where a verdict is not
that of the page at the same version, with 2 where an issuer cannot be had here. `--write` writes the page.
"""

import argparse
import asyncio
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

import jwt
import structlog

from tests.issuers import libraries, programs, providers
from tests.issuers.checks import CHECKS
from tests.issuers.issuer import Running
from tests.support.descendants import nothing_left
from tests.support.fetched import Missing, say
from tests.support.repository import ROOT
from tests.support.tokens_page import PAGE

_TABLE: Final = re.compile(r"(?<=<!-- make issuers -->\n)\|.*?\n(?=<!-- end -->)", re.DOTALL)
_GO: Final = re.search(r"golang-jwt/jwt/v5 v(\S+)", (ROOT / "tests/examples/go/go.mod").read_text(encoding="utf-8"))

ISSUERS: Final[dict[str, tuple[str, Running]]] = {
    "Keycloak": (programs.KEYCLOAK, providers.keycloak),
    "oidc-provider": (programs.OIDC_PROVIDER, providers.oidc_provider),
    "Spring Authorization Server": (f"of Spring Boot {programs.SPRING_BOOT}", providers.spring),
    "jjwt": (programs.JJWT, libraries.jjwt),
    "simplejwt": (programs.SIMPLEJWT, libraries.simplejwt),
    "jose": (programs.JOSE, libraries.jose),
    "golang-jwt": (_GO[1] if _GO else "", libraries.golang_jwt),
    "PyJWT": (jwt.__version__, libraries.pyjwt),
}
"""By name the version, and what starts it."""

Verdicts = dict[str, dict[str, str]]
"""By issuer with its version, the verdict of each check."""


def read(page: Path) -> Verdicts:
    """The verdicts of the page."""
    found = _TABLE.search(page.read_text(encoding="utf-8"))
    if found is None:
        return {}
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def table(verdicts: Verdicts) -> str:
    """The table of the page."""
    titles = [title for title, _ in CHECKS]
    rows = [["Issuer", *titles], ["---"] * (len(titles) + 1)]
    rows += [[name, *(found[title] for title in titles)] for name, found in verdicts.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


async def play(name: str) -> dict[str, str]:
    """The verdicts of one issuer. Raises Missing."""
    _, running = ISSUERS[name]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as issuer:
            for title, check in CHECKS:
                found[title] = await check(issuer, Path(folder))
                say(f"{name}: {title}: {found[title]}")
    return found


def merged(known: Verdicts, seen: Verdicts) -> Verdicts:
    """What was seen, and what the page has of issuers that were not tried, in their order."""
    found: Verdicts = {}
    for name in ISSUERS:
        for rows in (seen, known):
            of_name = {row: verdicts for row, verdicts in rows.items() if row.startswith(f"{name} ")}
            if of_name:
                found |= of_name
                break
    return found


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.issuers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--issuers", default=",".join(ISSUERS), help="those to try, with commas; all of them by default"
    )
    parser.add_argument("--write", action="store_true", help="write the verdicts into docs/tokens.md")
    given = parser.parse_args()
    # What the pods log belongs to no verdict.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    known, seen, status = read(ROOT / PAGE), Verdicts(), 0
    for name in given.issuers.split(","):
        try:
            seen[f"{name} {ISSUERS[name][0]}"] = asyncio.run(play(name))
        except Missing as missing:
            say(f"left out: {name}, because {missing}")
            status = 2
    if given.write:
        text = (ROOT / PAGE).read_text(encoding="utf-8")
        (ROOT / PAGE).write_text(_TABLE.sub(lambda _: table(merged(known, seen)), text), encoding="utf-8")
        return status
    for row, found in seen.items():
        if row not in known:
            say(f"{row} is not in {PAGE}, which has {', '.join(known) or 'none'}")
            continue
        for title, verdict in found.items():
            if verdict != known[row][title]:
                status = 1
                say(f"{row}: {title}: {verdict}; {PAGE} has: {known[row][title]}")
    return status


if __name__ == "__main__":
    with nothing_left():
        sys.exit(main())
