"""Has real issuers sign tokens, plays them to a real gateway, and compares with docs/tokens.md.

`python -m tests.issuers` takes some minutes. It fetches the issuers from Maven, npm and PyPI once, into
`.issuers_cache` or the folder that ISSUERS_CACHE names, and installs nothing. It exits with 1 where a verdict is not
that of the page at the same version, with 2 where an issuer cannot be had here. `--write` writes the page.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

import jwt

from tests.issuers import libraries, programs, providers
from tests.issuers.checks import CHECKS
from tests.issuers.issuer import Running
from tests.support.descendants import nothing_left
from tests.support.fetched import say
from tests.support.repository import ROOT
from tests.support.tokens_page import PAGE
from tests.support.verdicts import Table, tried

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

TABLE: Final = Table(ROOT / PAGE, "make issuers", turned=True, corner="Issuer")


def titled(name: str) -> str:
    """The name with its version, as the page has it."""
    return f"{name} {ISSUERS[name][0]}"


async def play(name: str) -> tuple[str, dict[str, str]]:
    """The verdicts of one issuer. Raises Missing."""
    _, running = ISSUERS[name]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as issuer:
            for title, check in CHECKS:
                found[title] = await check(issuer, Path(folder))
                say(f"{name}: {title}: {found[title]}")
    return titled(name), found


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.issuers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--issuers", default=",".join(ISSUERS), help="those to try, with commas; all of them by default"
    )
    parser.add_argument("--write", action="store_true", help="write the verdicts into docs/tokens.md")
    given = parser.parse_args()
    seen, left_out = tried(given.issuers.split(","), play)
    titles = [titled(name).rpartition(" ")[0] + " " for name in ISSUERS]
    return TABLE.settle(seen, titles, [title for title, _ in CHECKS], write=given.write) or left_out


if __name__ == "__main__":
    with nothing_left():
        sys.exit(main())
