"""Installs what the benches need from npm, PyPI and the Go proxy, once, in the versions of bench/versions.toml."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.checkouts import ROOT

CACHE = "BENCH_CACHE"
"""The variable that names another folder for what is installed."""
PINS: Mapping[str, Any] = tomllib.loads(Path(__file__).with_name("versions.toml").read_text())


class NotInstalled(Exception):
    """Something cannot be installed here, for the reason that the message gives."""


def cache() -> Path:
    """The folder of all that is installed. It keeps itself out of version control."""
    folder = Path(os.environ.get(CACHE) or ROOT / ".bench_cache").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder


def python(name: str) -> Path:
    """The folder of the programs of a virtual environment with the packages of `[pypi.NAME]`. Raises NotInstalled."""

    def install(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=folder)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "--disable-pip-version-check"]
        _run(*pip, "install", "--quiet", *(f"{package}=={version}" for package, version in pins.items()), cwd=folder)

    pins = PINS["pypi"][name]
    return _once(f"python-{name}", pins, install) / "bin"


def node(name: str) -> Path:
    """The folder with the packages of `[npm.NAME]`. Scripts that import them are copied there. Raises NotInstalled."""

    def install(folder: Path) -> None:
        package = {"name": "forestay-bench", "private": True, "type": "module", "dependencies": pins}
        (folder / "package.json").write_text(json.dumps(package))
        _run(program("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", cwd=folder)

    pins = PINS["npm"][name]
    return _once(f"node-{name}", pins, install)


def go(name: str) -> Path:
    """The program that the module of `[go.NAME]` makes. Raises NotInstalled."""

    def install(folder: Path) -> None:
        [(module, version)] = pins.items()
        environ = os.environ | {"GOBIN": str(folder)}
        _run(program("go"), "install", f"{module}@{version}", cwd=folder, environ=environ)

    pins = PINS["go"][name]
    return _once(f"go-{name}", pins, install) / name


def program(name: str) -> str:
    """The path of a program of this machine. Raises NotInstalled."""
    found = shutil.which(name)
    if found is None:
        raise NotInstalled(f"no {name} on PATH")
    return found


def _once(name: str, pins: Mapping[str, str], install: Callable[[Path], None]) -> Path:
    """The folder called `name`. `install` fills it, unless it did so with the same pins."""
    folder = cache() / name
    stamp, wanted = folder / ".installed", json.dumps(pins)
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    print(f"installing {', '.join(f'{package} {version}' for package, version in pins.items())}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(folder)
    stamp.write_text(wanted)
    return folder


def _run(*command: str, cwd: Path, environ: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise NotInstalled(f"{' '.join(command)} failed with:\n{done.stdout[-3000:]}")
