"""Installs the Autobahn fuzzer once, in a Python 2.7 environment that nothing else uses.

The fuzzer was never ported to Python 3. A 2.7 interpreter is searched for, and never installed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from tests.conformance.gateway import ROOT

CACHE: Final = "CONFORMANCE_CACHE"
"""The variable that names another folder for the environment and the reports."""
INTERPRETER: Final = "PY27"
"""The variable that names a Python 2.7 interpreter."""

say = partial(print, flush=True)

_PINS = Path(__file__).with_name("fuzzer.txt")
# The last version that can create environments for Python 2.7.
_VIRTUALENV = "virtualenv==20.21.1"


class Missing(Exception):
    """The machine lacks what the fuzzer needs. The message says what to do."""


def cache() -> Path:
    """The folder of all our files. It keeps itself out of version control."""
    folder = Path(os.environ.get(CACHE) or ROOT / ".conformance_cache")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder


def fuzzer() -> Path:
    """Returns the fuzzer's command, and installs it if necessary. Raises Missing."""
    command = cache() / "fuzzer" / "bin" / "wstest"
    stamp = cache() / "fuzzer" / ".installed"
    if not (stamp.exists() and stamp.read_text() == _PINS.read_text()):
        _install(_python27())
        stamp.write_text(_PINS.read_text())
    return command


def _install(python27: str) -> None:
    """Creates the environment. Raises Missing."""
    say(f"installing the fuzzer into {cache()}, for {python27}")
    boot, environment = cache() / "boot", cache() / "fuzzer"
    shutil.rmtree(environment, ignore_errors=True)
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    _run(sys.executable, "-m", "venv", "--clear", str(boot))
    _run(str(boot / "bin" / "python"), *pip, _VIRTUALENV)
    _run(str(boot / "bin" / "python"), "-m", "virtualenv", "--quiet", "--python", python27, str(environment))
    _run(str(environment / "bin" / "python"), *pip, "--constraint", str(_PINS), "autobahntestsuite")


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Missing(
            f"the fuzzer cannot be installed: {' '.join(command)} failed with:\n{done.stdout[-3000:]}\n"
            "It needs a package index, and a C compiler with headers for what has no wheel."
        )


def _python27() -> str:
    for candidate in _candidates():
        # It is run, and not only searched for: version managers leave names on PATH that fail to run.
        asked = subprocess.run(
            [candidate, "-c", "import platform as p; print(p.python_implementation() + p.python_version())"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.stdout.startswith("CPython2.7."):
            return candidate
    raise Missing(
        "the Autobahn fuzzer needs a CPython 2.7, and there is none: not python2.7 on PATH, not below pyenv.\n"
        f"Name one with {INTERPRETER}=/path/to/python2.7, or make one with: pyenv install 2.7.18\n"
        "Without it the rest still runs: python -m tests.conformance rules, interop, fuzz"
    )


def _candidates() -> Iterator[str]:
    named = os.environ.get(INTERPRETER)
    if named:
        if shutil.which(named) is None:
            raise Missing(f"{INTERPRETER} names {named}, which cannot be run")
        yield named
        return
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = (shutil.which("python2.7"), shutil.which("python2"), *map(str, sorted(versions.glob("2.7*/bin/python2.7"))))
    yield from filter(None, found)
