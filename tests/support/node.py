"""Runs Node, and the JavaScript client's tools."""

import asyncio
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
# In seconds, for a tool that compiles or tests on a machine that may be busy.
_PATIENCE: Final = 110.0


@cache
def node() -> Path:
    """The Node on PATH if it is new enough, else the one of this environment."""
    found = shutil.which("node")
    if found is not None:
        printed = subprocess.run([found, "--version"], check=False, capture_output=True, text=True).stdout
        version = re.match(r"v(\d+)", printed)
        if version is not None and int(version[1]) >= _OLDEST:
            return Path(found)
    return Path(sys.executable).parent / "node"


def environment() -> dict[str, str]:
    """The environment of this process, with our `node` on PATH."""
    return {**os.environ, "PATH": f"{node().parent}{os.pathsep}{os.environ['PATH']}"}


def run(*command: str | Path, cwd: Path = PACKAGE) -> str:
    """Returns a command's output. A failing command fails the test with all its output."""
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
    """Runs npm and returns its output."""
    return run(node().parent / "npm", *arguments, cwd=cwd)


def tool(name: str, *arguments: str | Path, cwd: Path = PACKAGE) -> str:
    """Runs one of the package's tools and returns its output."""
    return run(node(), PACKAGE / "node_modules" / ".bin" / name, *arguments, cwd=cwd)


async def program_output(*command: str | Path) -> str:
    """Returns a program's standard output, while the loop of the test goes on."""
    process = await asyncio.create_subprocess_exec(*command, env=environment(), stdout=asyncio.subprocess.PIPE)
    stdout, _ = await asyncio.wait_for(process.communicate(), _PATIENCE)
    assert process.returncode == 0
    return stdout.decode()
