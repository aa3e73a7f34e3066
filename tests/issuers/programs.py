"""Fetches what makes the tokens, once: from Maven, npm and PyPI, in pinned versions, into one folder."""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support import fetched
from tests.support.fetched import Missing, say

CACHE: Final = "ISSUERS_CACHE"
"""The variable that names another folder for what is fetched, here and for the collectors."""

KEYCLOAK: Final = "26.7.3"
OIDC_PROVIDER: Final = "9.13.3"
JOSE: Final = "6.2.17"
JJWT: Final = "0.13.0"
SPRING_BOOT: Final = "4.0.7"
SIMPLEJWT: Final = "5.5.1"
DJANGO: Final = "5.2.8"

_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


async def run(command: Sequence[str], place: Path, **environ: str) -> str:
    """Run it in `place`; what it prints. Raises Missing where it fails or is not here."""
    if shutil.which(command[0]) is None:
        raise Missing(f"there is no {command[0]} here")
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=place,
        env=os.environ | environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    if process.returncode:
        said = (error or out).decode(errors="replace").strip()
        raise Missing(f"{Path(command[0]).name} {command[1]} failed: {said[-800:]}")
    return out.decode()


def place(name: str, version: str) -> Path:
    """The folder of one of them."""
    found = fetched.folder(".issuers_cache", CACHE) / f"{name}-{version}"
    found.mkdir(exist_ok=True)
    return found


async def keycloak() -> Path:
    """The folder of the distribution, of Maven. Raises Missing."""
    here = place("keycloak", KEYCLOAK)
    found = here / f"keycloak-{KEYCLOAK}"
    if not (found / "bin/kc.sh").exists():
        say(f"fetching Keycloak {KEYCLOAK}, 180 MB")
        name = f"org.keycloak:keycloak-quarkus-dist:{KEYCLOAK}:zip"
        plugin = _COPY.rpartition("-")[0]
        await run(["mvn", "-q", "-B", plugin, f"-Dartifact={name}", f"-DoutputDirectory={here}"], here)
        shutil.unpack_archive(here / f"keycloak-quarkus-dist-{KEYCLOAK}.zip", here)
        (here / f"keycloak-quarkus-dist-{KEYCLOAK}.zip").unlink()
        # A zip of Python's library loses the mode.
        (found / "bin/kc.sh").chmod(0o755)
    return found


async def jars(name: str, version: str, pom: str) -> Path:
    """The folder with what a POM depends on. Raises Missing."""
    here = place(name, version)
    if not (here / "jars").exists():
        say(f"fetching {name} {version}")
        (here / "pom.xml").write_text(pom, encoding="utf-8")
        await run(["mvn", "-q", "-B", _COPY, f"-DoutputDirectory={here / 'fetched'}"], here)
        (here / "fetched").rename(here / "jars")
    return here


def pom(*dependencies: str, parent: str = "") -> str:
    """A POM with these dependencies: group, artifact and perhaps version, with colons between them."""
    names = ("groupId", "artifactId", "version")
    listed = "".join(
        f"<dependency>{''.join(f'<{key}>{value}</{key}>' for key, value in zip(names, each.split(':'), strict=False))}"
        "</dependency>"
        for each in dependencies
    )
    head = "".join(f"<{key}>{value}</{key}>" for key, value in zip(names, parent.split(":"), strict=False) if parent)
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"{f'<parent>{head}</parent>' if parent else ''}<groupId>example</groupId><artifactId>example</artifactId>"
        f"<version>1</version><dependencies>{listed}</dependencies></project>"
    )


async def npm(name: str, version: str) -> Path:
    """A folder with a package of npm in its `node_modules`. Raises Missing."""
    here = place(name, version)
    if not (here / "node_modules").exists():
        say(f"fetching {name} {version}")
        (here / "package.json").write_text('{"type": "module", "private": true}')
        await run(["npm", "install", "--silent", "--no-audit", "--no-fund", f"{name}@{version}"], here)
    return here


async def python(name: str, version: str, *more: str) -> Path:
    """A folder with a package of PyPI in its `packages`. Raises Missing."""
    here = place(name, version)
    if not (here / "packages").exists():
        say(f"fetching {name} {version}")
        fetched = here / "fetched"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--target",
            str(fetched),
        ]
        await run([*pip, f"{name}=={version}", *more], here)
        fetched.rename(here / "packages")
    return here


def written(path: Path, files: Mapping[str, str]) -> None:
    """Write these files into a folder."""
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
