"""Programs and libraries of others, fetched once into a folder of the tree. Nothing is installed on the machine."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.support.repository import ROOT

say = partial(print, flush=True)


class Missing(Exception):
    """The machine lacks something. The message says what."""


def folder(usual: str, variable: str) -> Path:
    """The folder `usual` of the tree, or what `variable` names. It keeps itself out of version control."""
    found = Path(os.environ.get(variable) or ROOT / usual)
    found.mkdir(parents=True, exist_ok=True)
    (found / ".gitignore").write_text("*\n")
    return found


def run(
    command: Sequence[str | Path], environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Raises Missing with the end of its output where it fails."""
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr.strip() or done.stdout.strip())[-800:]
        raise Missing(f"{Path(command[0]).name} {command[1]} failed: {output}")
    return done


def debian(root: Path, packages: Sequence[str]) -> Path:
    """`root`, into which these packages of Debian and the libraries that this machine lacks are unpacked.

    Raises Missing.
    """
    done, wanted = root / ".complete", " ".join(packages)
    if done.exists() and done.read_text() == wanted:
        return root
    if shutil.which("apt-get") is None:
        raise Missing(f"no apt-get here: {wanted} are packages of Debian")
    kept = root.with_name(f"{root.name}.packages")
    (kept / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    say(f"fetching {wanted}")
    (kept / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    places = ["-o", f"Dir::Cache={kept}", "-o", f"Dir::State::lists={kept / 'lists'}"]
    run(["apt-get", "update", "--quiet", *places])
    quietly = ["--quiet", "--yes", "--reinstall", "--download-only", "--no-install-recommends"]
    run(["apt-get", "install", *quietly, *places, *packages])
    for package in (kept / "archives").glob("*.deb"):
        run(["dpkg", "-x", package, root])
    done.write_text(wanted)
    return root
