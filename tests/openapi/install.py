"""Installs schemathesis, and packages of npm, into folders of their own, once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.node import environment, node
from tests.support.repository import ROOT

CACHE: Final = "OPENAPI_CACHE"
"""The variable that names another folder."""
CLIENT: Final = Path(__file__).with_name("client")
FUZZER: Final = ROOT / "requirements" / "fuzz.txt"


def schemathesis() -> Path:
    """The command, as the lock pins it."""
    folder = _cache() / "fuzzer"
    if not _installed(folder, FUZZER):
        _run(sys.executable, "-m", "venv", str(folder))
        pip = (str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        _run(*pip, "--require-hashes", "--requirement", str(FUZZER))
        _stamp(folder, FUZZER)
    return folder / "bin" / "schemathesis"


def generator() -> Path:
    """The folder with what makes a client in TypeScript, and the configuration of the compiler."""
    return packages(CLIENT)


def packages(source: Path) -> Path:
    """A folder with the files of `source`, and with the packages of npm that its lock pins."""
    folder, pins = _cache() / source.name, source / "package-lock.json"
    if not _installed(folder, pins):
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy2(source / name, folder)
        _run(str(node().parent / "npm"), "ci", "--no-audit", "--no-fund", "--silent", cwd=folder)
        _stamp(folder, pins)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    return folder


def _cache() -> Path:
    folder = Path(os.environ.get(CACHE) or ROOT / ".openapi_cache")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder


def _installed(folder: Path, pins: Path) -> bool:
    """Whether `folder` has what `pins` names. If not, it is emptied."""
    stamp = folder / ".installed"
    if stamp.exists() and stamp.read_text() == pins.read_text():
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _stamp(folder: Path, pins: Path) -> None:
    (folder / ".installed").write_text(pins.read_text())


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
