"""The SDKs of this tree, and how the adapter of each is started."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
NAMES: Final = ("python", "js")


def command(name: str) -> list[str] | None:
    """What starts the adapter of the SDK called `name`; None where this machine lacks what it needs."""
    if name == "python":
        return [sys.executable, str(ROOT / "clients" / "python" / "conformance" / "adapter.py")]
    node = _node()
    return [node, str(ROOT / "clients" / "js" / "conformance" / "adapter.mjs")] if node else None


def _node() -> str | None:
    """A Node: what NODE names, else the one of this environment, else the one on PATH."""
    beside = Path(sys.executable).parent / "node"
    return os.environ.get("NODE") or (str(beside) if beside.exists() else shutil.which("node"))
