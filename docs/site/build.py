"""Builds the site: lays the pages out, and lets Zensical make HTML of them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from docs.site import pages

ROOT: Final = pages.ROOT
CONFIGURATION: Final = ROOT / "docs" / "site" / "mkdocs.yml"

_COLOURS: Final = re.compile(r"\x1b\[[\d;]*m")


def build(folder: Path) -> Path:
    """Makes `folder` anew with the pages and the site, and returns where the site is.

    Raises CalledProcessError if a link leads nowhere; its output says which.
    """
    shutil.rmtree(folder, ignore_errors=True)
    pages.lay(folder / "pages")
    return make(folder)


def make(folder: Path) -> Path:
    """Makes the site of the pages that are laid out below `folder`, as `build` does it."""
    shutil.copyfile(CONFIGURATION, folder / CONFIGURATION.name)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode:
        said = _COLOURS.sub("", done.stdout + done.stderr).partition("Traceback")[0]
        raise subprocess.CalledProcessError(done.returncode, command, said)
    return folder / "html"
