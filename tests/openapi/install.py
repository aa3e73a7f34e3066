"""Installs schemathesis, and packages of npm, into folders of their own, once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from tests.support.node import environment, node
from tests.support.repository import ROOT

CACHE: Final = "OPENAPI_CACHE"
"""The variable that names another folder."""
CLIENT: Final = Path(__file__).with_name("client")
FUZZER: Final = ROOT / "requirements" / "fuzz.txt"


def schemathesis() -> Path:
    """The command, as the lock pins it."""

    def install(folder: Path) -> None:
        _run(sys.executable, "-m", "venv", str(folder))
        pip = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        _run(*pip, "--require-hashes", "--requirement", str(FUZZER))

    return _once("fuzzer", FUZZER, install) / "bin" / "schemathesis"


def generator() -> Path:
    """The folder with what makes a client in TypeScript, and the configuration of the compiler."""
    return packages(CLIENT)


def packages(source: Path) -> Path:
    """A folder with the files of `source`, and with the packages of npm that its lock pins."""
    pins = source / "package-lock.json"

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy2(source / name, folder)
        _run(str(node().parent / "npm"), "ci", "--no-audit", "--no-fund", "--silent", cwd=folder)

    folder = _once(source.name, pins, install)
    for file in (file for file in source.iterdir() if file.is_file()):
        copy = folder / file.name
        if not copy.exists() or copy.read_bytes() != file.read_bytes():
            shutil.copy2(file, copy)
    return folder


def _once(name: str, pins: Path, install: Callable[[Path], None]) -> Path:
    """The folder in which `install` was done for these `pins`.

    Each try has a folder of its own: what was broken off may still write into the last one, and two runs of the suite
    share the cache.
    """
    cache = Path(os.environ.get(CACHE) or ROOT / ".openapi_cache")
    cache.mkdir(parents=True, exist_ok=True)
    (cache / ".gitignore").write_text("*\n")
    link = cache / f"{name}-{sha256(pins.read_bytes()).hexdigest()[:16]}"
    if not link.is_symlink():
        folder = Path(mkdtemp(prefix=f"{name}-", dir=cache))
        install(folder)
        fresh = folder.with_suffix(".link")
        fresh.symlink_to(folder.name)
        fresh.replace(link)
    return link.resolve()


def _run(*command: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
