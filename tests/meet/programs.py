"""Installs the proxies into a folder of their own, once: packages of Debian, and Caddy as a module of Go."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support import fetched
from tests.support.fetched import Missing, run, say

CACHE: Final = "MEET_CACHE"
"""The variable that names another folder for the programs."""

CADDY: Final = "v2.11.9"

PACKAGES: Final = ("nginx", "haproxy", "apache2-bin", "lighttpd")
"""Those of Debian. Their libraries come along where the machine has not got them."""

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True, slots=True)
class Program:
    """A proxy that can be started."""

    path: Path
    version: str
    root: Path
    """The folder that stands for `/` of its package."""
    environ: Mapping[str, str] = field(default_factory=dict)


def folder() -> Path:
    """The folder of all programs."""
    return fetched.folder(".meet_cache", CACHE)


def debian(command: str, *asking: str) -> Program:
    """The program `usr/sbin/COMMAND` of its package. `asking`: how it says its version. Raises Missing."""
    root = fetched.debian(folder() / "root", PACKAGES)
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
        run(["go", "install", f"github.com/caddyserver/caddy/v2/cmd/caddy@{CADDY}"], environ)
    # Compiled so, it does not know its version.
    return Program(
        path, CADDY[1:], path.parent, {**os.environ, "XDG_DATA_HOME": str(path.parent), "HOME": str(path.parent)}
    )


def _version(command: list[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    found = _NUMBER.search(done.stdout + done.stderr)
    if found is None:
        raise Missing(f"{command[0]} does not run here: {(done.stderr or done.stdout).strip()[-300:]}")
    return found[0]
