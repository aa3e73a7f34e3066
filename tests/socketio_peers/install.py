"""Installs the pinned packages of the stock clients and of the real server into a folder of their own, once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from clients.conformance.sdks import Lacking, node
from tests.support.repository import ROOT

CACHE: Final = "SOCKETIO_PEERS_CACHE"
"""The variable that names another folder for the packages."""
HERE: Final = Path(__file__).parent
SCRIPTS: Final = HERE / "scripts"

say = partial(print, flush=True)


class Missing(Exception):
    """The machine lacks something. The message says what."""


def cache() -> Path:
    """The folder of all packages. It keeps itself out of version control."""
    folder = Path(os.environ.get(CACHE) or ROOT / ".socketio_peers_cache")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder


def javascript() -> Path:
    """The folder with the packages of npm, and with copies of the scripts that import them. Raises Missing."""
    folder = cache() / "npm"
    _once(folder, HERE / "peer" / "package.json", _npm)
    for file in (HERE / "peer" / "server.mjs", SCRIPTS / "node.mjs", SCRIPTS / "script.mjs"):
        shutil.copy2(file, folder)
    return folder


def python() -> Path:
    """A Python that has python-socketio. Raises Missing."""
    folder = cache() / "python"
    _once(folder, SCRIPTS / "requirements.txt", _venv)
    return folder / "bin" / "python"


def java() -> Path:
    """The folder with the jars of the Java client. Raises Missing."""
    folder = cache() / "java"
    _once(folder, SCRIPTS / "pom.xml", _maven)
    return folder / "jars"


def node_command() -> str:
    """A Node. Raises Missing."""
    try:
        return node()
    except Lacking as lacking:
        raise Missing(str(lacking)) from None


def program(name: str) -> str:
    """The path of a program. Raises Missing."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"no {name} on PATH")
    return found


def _once(folder: Path, pins: Path, install: Callable[[Path, Path], None]) -> None:
    """Install what `pins` names into `folder`, unless that was done with the same pins."""
    stamp = folder / ".installed"
    if stamp.exists() and stamp.read_text() == pins.read_text():
        return
    say(f"installing the packages of {pins.name} into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(folder, pins)
    stamp.write_text(pins.read_text())


def _npm(folder: Path, pins: Path) -> None:
    shutil.copy2(pins, folder / "package.json")
    _run(program("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent", cwd=folder)


def _venv(folder: Path, pins: Path) -> None:
    _run(sys.executable, "-m", "venv", str(folder), cwd=folder)
    pip = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    _run(*pip, "--requirement", str(pins), cwd=folder)


def _maven(folder: Path, pins: Path) -> None:
    program("java")
    copy = ("dependency:copy-dependencies", f"-DoutputDirectory={folder / 'jars'}")
    _run(program("mvn"), "--quiet", "--batch-mode", "--file", str(pins), *copy, cwd=folder)


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Missing(f"{' '.join(command)} failed with:\n{done.stdout[-3000:]}")
