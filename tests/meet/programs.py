"""Installs the proxies into a folder of their own, once: packages of Debian, and Caddy as a module of Go."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Final

from tests.support.repository import ROOT

CACHE: Final = "MEET_CACHE"
"""The variable that names another folder for the programs."""

CADDY: Final = "v2.11.9"

PACKAGES: Final = ("nginx", "haproxy", "apache2-bin", "lighttpd")
"""Those of Debian. Their libraries come along where the machine has not got them."""

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)+")

say = partial(print, flush=True)


class Missing(Exception):
    """The machine lacks something. The message says what."""


@dataclass(frozen=True, slots=True)
class Program:
    """A proxy that can be started."""

    path: Path
    version: str
    root: Path
    """The folder that stands for `/` of its package."""
    environ: Mapping[str, str] = field(default_factory=dict)


def folder() -> Path:
    """The folder of all programs. It keeps itself out of version control."""
    found = Path(os.environ.get(CACHE) or ROOT / ".meet_cache")
    found.mkdir(parents=True, exist_ok=True)
    (found / ".gitignore").write_text("*\n")
    return found


def debian(command: str, *asking: str) -> Program:
    """The program `usr/sbin/COMMAND` of its package. `asking`: how it says its version. Raises Missing."""
    root = _packages()
    path = root / "usr/sbin" / command
    if not path.exists():
        raise Missing(f"the packages of this system have no {command}")
    libraries = ":".join(str(each) for each in (*root.glob("usr/lib/*-linux-gnu*"), *root.glob("lib/*-linux-gnu*")))
    environ = {**os.environ, "LD_LIBRARY_PATH": libraries}
    return Program(path, _version([str(path), *asking], environ), root, environ)


def caddy() -> Program:
    """Caddy, compiled from its module. Raises Missing."""
    path = folder() / "caddy" / "caddy"
    if not path.exists():
        if shutil.which("go") is None:
            raise Missing("no Go here, which makes Caddy from its module")
        say(f"compiling Caddy {CADDY}, which takes some minutes once")
        environ = {**os.environ, "GOBIN": str(path.parent), "GOFLAGS": "-mod=mod"}
        _run(["go", "install", f"github.com/caddyserver/caddy/v2/cmd/caddy@{CADDY}"], environ)
    # Compiled so, it does not know its version.
    return Program(
        path, CADDY[1:], path.parent, {**os.environ, "XDG_DATA_HOME": str(path.parent), "HOME": str(path.parent)}
    )


@cache
def _packages() -> Path:
    """The folder into which the packages are unpacked. Nothing is installed on this machine. Raises Missing."""
    root, kept = folder() / "root", folder() / "packages"
    done = root / ".complete"
    if done.exists() and done.read_text() == " ".join(PACKAGES):
        return root
    if shutil.which("apt-get") is None:
        raise Missing("no apt-get here: the packages of these proxies are Debian's")
    (kept / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    say(f"fetching {', '.join(PACKAGES)}")
    asking = ["apt-get", "install", "--quiet", "--yes", "--reinstall", "--download-only", "--no-install-recommends"]
    _run([*asking, "-o", f"Dir::Cache={kept}", *PACKAGES], os.environ)
    for package in (kept / "archives").glob("*.deb"):
        _run(["dpkg", "-x", str(package), str(root)], os.environ)
    done.write_text(" ".join(PACKAGES))
    return root


def _version(command: list[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    found = _NUMBER.search(done.stdout + done.stderr)
    if found is None:
        raise Missing(f"{command[0]} does not run here: {(done.stderr or done.stdout).strip()[-300:]}")
    return found[0]


def _run(command: list[str], environ: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{command[0]} {command[1]} failed: {done.stderr.strip()[-500:]}")
