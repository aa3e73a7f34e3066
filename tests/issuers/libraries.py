"""Libraries with which a backend signs tokens: each runs the program of docs/tokens.md, or of docs/backends.md."""

import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.issuers import programs
from tests.issuers.issuer import Issuer
from tests.support.repository import ROOT, blocks
from tests.support.tokens_page import block

SECRET: Final = b64encode(bytes(range(48))).decode()
"""As `openssl rand -base64 48` makes one: 64 characters."""

_RIGHTS: Final = '[[rights]]\nclaim = "roles"\nhas = "moderator"\nrooms = { "chat.*" = "rw" }\n'
_MAY: Final[Mapping[str, str]] = {"chat.a": "rw", "other": ""}


async def _printed(command: Sequence[str], place: Path, **environ: str) -> str:
    return (await programs.run(command, place, FORESTAY_JWT_SECRET=SECRET, **environ)).strip().splitlines()[-1]


@asynccontextmanager
async def jjwt(place: Path) -> AsyncIterator[Issuer]:
    """With the algorithm of the page, and with the one that the library chooses."""
    names = [f"io.jsonwebtoken:jjwt-{each}:{programs.JJWT}" for each in ("api", "impl", "jackson")]
    home = await programs.jars("jjwt", programs.JJWT, programs.pom(*names))
    text = block("jjwt", "java")
    made = []
    for source in (text, text.replace(", Jwts.SIG.HS256", "")):
        programs.written(place, {"Token.java": source})
        made.append(await _printed(["java", "-cp", f"{home / 'jars'}/*", "Token.java"], place))
    yield _of(made[0], {"`signWith(key)` with a secret of 64 bytes": made[1]})


@asynccontextmanager
async def jose(place: Path) -> AsyncIterator[Issuer]:
    home = await programs.npm("jose", programs.JOSE)
    programs.written(home, {"program.js": block("jose", "js")})
    yield _of(await _printed(["node", "program.js"], home), {})


@asynccontextmanager
async def simplejwt(place: Path) -> AsyncIterator[Issuer]:
    """With the settings of the page, and with those of the library."""
    django = f"django=={programs.DJANGO}"
    home = await programs.python("djangorestframework-simplejwt", programs.SIMPLEJWT, django, "setuptools")
    text = block("simplejwt", "python")
    made = []
    for settings in (text, text.replace('    "USER_ID_CLAIM": "sub",\n', "")):
        programs.written(place, {"settings.py": _DJANGO + settings, "program.py": _FOR_USER})
        command = [sys.executable, "program.py"]
        made.append(
            await _printed(command, place, PYTHONPATH=str(home / "packages"), DJANGO_SETTINGS_MODULE="settings")
        )
    yield _of(made[0], {"with its default `user_id`": made[1]}, user="7")


_DJANGO: Final = 'INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]\nSECRET_KEY = "another"\n'
_FOR_USER: Final = """
import django

django.setup()
from django.contrib.auth.models import User
from rest_framework_simplejwt.tokens import AccessToken

token = AccessToken.for_user(User(pk=7))
token["roles"] = ["moderator"]
print(token)
"""


@asynccontextmanager
async def golang_jwt(place: Path) -> AsyncIterator[Issuer]:
    """The program of docs/backends.md, and one whose user is a number."""
    for name in ("go.mod", "go.sum"):
        programs.written(place, {name: (ROOT / "tests/examples/go" / name).read_text(encoding="utf-8")})
    text = _of_backends("go")
    made = []
    for source in (text, text.replace('"alice"', "42").replace("user string", "user int")):
        programs.written(place, {"main.go": source})
        made.append(await _printed(["go", "run", "."], place))
    yield _of(made[0], {"with a number as `sub`": made[1]}, user="alice")


@asynccontextmanager
async def pyjwt(place: Path) -> AsyncIterator[Issuer]:
    programs.written(place, {"program.py": _of_backends("python")})
    yield _of(await _printed([sys.executable, "program.py"], place), {}, user="alice")


def _of_backends(language: str) -> str:
    """The program of docs/backends.md that makes a token."""
    [found] = blocks("docs/backends.md", language, "Tokens")
    return found


def _of(token: str, odd: Mapping[str, str], user: str = "ada") -> Issuer:
    async def made() -> str:
        return token

    return Issuer({"jwt_secret": SECRET, "rooms": _RIGHTS}, made, user, _MAY, odd)
