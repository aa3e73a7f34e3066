"""Both builds write the same bytes and read the same input in the same way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forestay import build
from tests.support.repository import ROOT

PROGRAM = Path(__file__).with_name("wire_bytes.py")


@pytest.mark.skipif(build.kind() == "plain", reason="one build alone: make test-compiled compares it with the other")
def test_both_builds_write_and_read_the_same() -> None:
    """All replies, messages, requests and refusals are the same bytes, whether this tree runs or the compiled wheel."""
    plain, compiled = _printed(ROOT / "app", "plain"), _printed(None, "compiled")
    differences = [(ours, theirs) for ours, theirs in zip(plain, compiled, strict=True) if ours != theirs]
    assert differences == []
    assert len(plain) > 20_000


def _printed(sources: Path | None, kind: str) -> list[bytes]:
    environ = os.environ | ({"PYTHONPATH": str(sources)} if sources else {}) | {"PYTHONHASHSEED": "0"}
    done = subprocess.run([sys.executable, "-P", PROGRAM], env=environ, cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, f"{kind}\n")
    return done.stdout.splitlines()
