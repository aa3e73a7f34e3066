"""Two releases: the previous one, unpacked from git, and this one as it is installed."""

import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import forestay
from tests.support.process import Process, Program, serving
from tests.support.repository import ROOT

# When a release is made, these three change to name it.
PREVIOUS: Final = "fbe590ca44e8d6732adaa5edb862ee980fcd0b65"
"""The commit of the previous release."""
PREVIOUS_PACKAGE: Final = "app"
"""Its import package."""
PREVIOUS_SOURCES: Final = "."
"""The folder of its tree that has the package."""

RUN: Final = """
import runpy, sys, {package}
print({package}.__file__, file=sys.stderr, flush=True)
runpy.run_module("{package}", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class Release:
    """One release: its import package, and the folder that has it."""

    package: str
    sources: Path

    @asynccontextmanager
    async def serving(self, **environ: str) -> AsyncIterator[Process]:
        """A process that serves a pod of this release; it is checked that the process runs this release's code."""
        # With `-c` Python looks for packages in the folder where it is started first, before the installed ones.
        program = Program((sys.executable, "-c", RUN.format(package=self.package)), self.sources)
        async with serving(program, **environ) as served:
            loaded = Path(served.log.partition("\n")[0])
            assert loaded == self.sources / self.package / "__init__.py", served.log
            yield served


THIS: Final = Release("forestay", Path(forestay.__file__).parents[1])


def previous(folder: Path) -> Release | None:
    """Unpack the previous release into `folder`; None where git does not have it."""
    command = ["git", "archive", "--format=zip", PREVIOUS, f"{PREVIOUS_SOURCES}/{PREVIOUS_PACKAGE}"]
    try:
        archive = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    zipfile.ZipFile(BytesIO(archive)).extractall(folder)
    return Release(PREVIOUS_PACKAGE, folder / PREVIOUS_SOURCES)
