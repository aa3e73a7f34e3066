"""Node, and the JavaScript client with what its tools need."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

from tests.support.repository import ROOT

PACKAGE: Final = ROOT / "clients" / "js"
_OLDEST: Final = 22
# Seconds, for a tool that compiles or tests on a machine that may be busy.
_PATIENCE: Final = 110.0


@cache
def node() -> Path:
    """The Node on PATH if it is new enough, else the one of this environment."""
    found = shutil.which("node")
    if found is not None:
        said = subprocess.run([found, "--version"], check=False, capture_output=True, text=True).stdout
        version = re.match(r"v(\d+)", said)
        if version is not None and int(version[1]) >= _OLDEST:
            return Path(found)
    return Path(sys.executable).parent / "node"


def environment() -> dict[str, str]:
    """That of this process, in which `node` is ours."""
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ['PATH']}"}


def run(*command: str | Path, cwd: Path = PACKAGE) -> str:
    """What a command says; one that fails is a failed test, with all that it said."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def npm(*arguments: str | Path, cwd: Path = PACKAGE) -> str:
    """What npm says."""
    return run(node().parent / "npm", *arguments, cwd=cwd)


def tool(name: str, *arguments: str | Path, cwd: Path = PACKAGE) -> str:
    """What one of the package's tools says."""
    return run(node(), PACKAGE / "node_modules" / ".bin" / name, *arguments, cwd=cwd)
