"""The Autobahn fuzzer in a folder of its own, made once: a Python 2.7 environment that nothing else uses.

The fuzzer was never ported to Python 3. A 2.7 interpreter is looked for, never installed.
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
"""The variable that names another folder for what is installed and reported."""
INTERPRETER: Final = "PY27"
"""The variable that names a Python 2.7."""

say = partial(print, flush=True)

_PINS = Path(__file__).with_name("fuzzer.txt")
# The last one that can make environments of Python 2.7.
_VIRTUALENV = "virtualenv==20.21.1"


class Missing(Exception):
    """What the fuzzer needs and this machine does not have; the message says what to do."""


def cache() -> Path:
    """Where everything of ours lies. The folder keeps itself out of version control."""
    folder = Path(os.environ.get(CACHE) or ROOT / ".conformance_cache")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    return folder


def fuzzer() -> Path:
    """The fuzzer's command, installed if need be. Raises Missing."""
    command = cache() / "fuzzer" / "bin" / "wstest"
    stamp = cache() / "fuzzer" / ".installed"
    if not (stamp.exists() and stamp.read_text() == _PINS.read_text()):
        _install(_python27())
        stamp.write_text(_PINS.read_text())
    return command


def _install(python27: str) -> None:
    """Make the environment anew. Raises Missing."""
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
            f"the fuzzer cannot be installed: {' '.join(command)} failed, and said:\n{done.stdout[-3000:]}\n"
            "It needs a package index, and a C compiler with headers for what has no wheel."
        )


def _python27() -> str:
    for candidate in _candidates():
        # Asked, not just looked for: a version manager leaves names on PATH that refuse to run.
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
