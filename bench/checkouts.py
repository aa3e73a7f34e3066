"""Checkouts of Forestay that can be served: this tree, and a revision of it in a temporary git worktree."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = Path("requirements", "runtime.txt")
LAYOUTS = (("forestay", Path("app")), ("app", Path()))
"""Import packages and the folders they lie in, the newest layout first."""
# The command line imports what it needs to name its verbs, so that several modules are seen.
_IMPORT = """
import importlib, json, sys
importlib.import_module(sys.argv[1] + ".cli")
prefix = sys.argv[1] + "."
print(json.dumps({name: module.__file__ for name, module in sys.modules.items() if (name + ".").startswith(prefix)}))
"""


class Unusable(Exception):
    """A checkout cannot be served, for the reason it names."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """The sources of one revision, and the Python that runs them."""

    path: Path
    package: str
    sources: Path
    """The folder that the package lies in."""
    python: Path = Path(sys.executable)

    def command(self, *arguments: str) -> list[str]:
        """A command of this checkout's gateway. Where it is started from adds nothing to the path."""
        return [str(self.python), "-P", "-m", self.package, *arguments]

    def environ(self) -> dict[str, str]:
        """The surrounding environment without settings of a gateway, and with these sources first on the path."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FORESTAY_", "OTEL_"))}
        return kept | {"PYTHONPATH": str(self.sources)}

    def verify(self) -> None:
        """Import the package as the server will, and check that each module of it comes from this checkout."""
        command = [str(self.python), "-P", "-c", _IMPORT, self.package]
        done = subprocess.run(command, cwd=self.path, env=self.environ(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unusable(f"{self.package} of {self.path} cannot be imported:\n{done.stderr.strip()}")
        for name, file in json.loads(done.stdout).items():
            if file is None or not Path(file).resolve().is_relative_to(self.sources.resolve() / self.package):
                raise Unusable(f"{name} was imported from {file}, not from {self.sources / self.package}")

    def compile(self) -> None:
        """Write the bytecode, so that no server of this checkout has to compile at its start."""
        folder = str(self.sources / self.package)
        subprocess.run([str(self.python), "-m", "compileall", "-q", folder], check=True, stdout=subprocess.DEVNULL)


def recognise(path: Path) -> Checkout:
    """The checkout at `path`, by the layout it has."""
    for package, folder in LAYOUTS:
        if (path / folder / package / "__main__.py").is_file():
            return Checkout(path, package, path / folder)
    wanted = " and no ".join(str(folder / package / "__main__.py") for package, folder in LAYOUTS)
    raise Unusable(f"{path} has no {wanted}")


def installed(python: Path) -> Checkout:
    """The gateway that is installed in the environment of `python`, such as a compiled one."""
    # Isolated, so that a PYTHONPATH cannot lead to sources that are not compiled.
    find = "import importlib.util; print(importlib.util.find_spec('forestay').origin)"
    done = subprocess.run([str(python), "-I", "-c", find], cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unusable(f"{python} has no gateway installed:\n{done.stderr.strip()}")
    sources = Path(done.stdout.strip()).parent.parent
    return Checkout(sources, "forestay", sources, python)


@contextmanager
def checked_out(revision: str, root: Path = ROOT) -> Iterator[Checkout]:
    """Git's `revision` in a worktree that is removed when the block ends."""
    try:
        commit = _git(root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    except Unusable as unusable:
        raise Unusable(f"{revision} is not a commit: {unusable}") from None
    with tempfile.TemporaryDirectory(prefix="forestay-compare-") as folder:
        path = Path(folder).resolve() / commit[:12]
        try:
            # A git hook of the developer must not run for this tree.
            _git(root, "-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", str(path), commit)
            yield recognise(path)
        finally:
            if path.exists():
                _git(root, "worktree", "remove", "--force", str(path))


@contextmanager
def runnable(*checkouts: Checkout) -> Iterator[list[Checkout]]:
    """The checkouts with a Python that has what they need, verified.

    They share this process's environment if all lock the same packages. Otherwise each gets its own from its lock, this
    tree too: what only developers have installed must not be on one side.
    """
    with tempfile.TemporaryDirectory(prefix="forestay-compare-") as folder:
        ready = list(checkouts)
        if len({(checkout.path / LOCK).read_bytes() for checkout in checkouts}) > 1:
            for number, checkout in enumerate(checkouts):
                ready[number] = replace(checkout, python=_environment(Path(folder, str(number)), checkout.path / LOCK))
        for checkout in ready:
            checkout.verify()
            checkout.compile()
        yield ready


def revision_of(checkout: Checkout) -> str:
    """The short name of the commit that a checkout is at, marked where files of it were changed."""
    return _git(checkout.path, "describe", "--always", "--abbrev=7", "--exclude=*", "--dirty=+")


def _environment(folder: Path, lock: Path) -> Path:
    """The Python of a new virtual environment with what `lock` names."""
    print(f"making an environment from {lock}", flush=True)
    # Without a pip of its own it is made in a second; the one of this environment installs into it.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
    install = [*pip, "install", "--require-hashes", "--requirement", str(lock)]
    if subprocess.run(install, check=False).returncode:
        raise Unusable(f"the packages of {lock} cannot be installed")
    return python


def _git(root: Path, *arguments: str) -> str:
    """The output of git. Raises Unusable with its error message."""
    git = shutil.which("git")
    if git is None:
        raise Unusable("git is not on PATH")
    done = subprocess.run([git, "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        complaint = done.stderr.strip() or f"git {' '.join(arguments)} failed"
        raise Unusable(complaint)
    return done.stdout.strip()
