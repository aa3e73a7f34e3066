"""The JavaScript client passes its own tests, its type checks and its size limits."""

import json
import re
from pathlib import Path

import pytest

from forestay import __version__
from tests.support.node import npm, tool
from tests.support.repository import ROOT

pytestmark = pytest.mark.timeout(120)


def test_the_pages_copy_is_what_a_build_makes(built: bytes) -> None:
    """The gateway serves the bytes that `npm run build` writes; if not, the build has just written them."""
    assert (ROOT / "app/forestay/web/demo/forestay.js").read_bytes() == built


def test_its_types_hold(js: Path) -> None:
    """Sources and tests pass the compiler in strict mode."""
    npm("run", "types", cwd=js)


def test_its_tests_pass(js: Path) -> None:
    """The client's own tests pass: races, timers, pages, close codes and the reconnecting WebSocket."""
    tool("vitest", "run", cwd=js)


def test_it_weighs_no_more_than_it_promises(js: Path) -> None:
    """Each entry stays below its size limit, minified and gzipped with all its exports."""
    sizes = npm("run", "size", cwd=js)
    assert len(re.findall(r"^\w+: \d+ of \d+ bytes gzipped", sizes, re.MULTILINE)) == 4


def test_the_package_is_fit_to_be_published(tarball: Path) -> None:
    """Every way to resolve the package leads to code and to the types of that code."""
    tool("publint", tarball, "--strict")
    tool("attw", tarball, "--profile", "node16")


def test_it_has_the_version_of_the_gateway_and_no_dependencies(js: Path) -> None:
    """The package has the gateway's version and no dependencies."""
    described = json.loads((js / "package.json").read_text(encoding="utf-8"))
    assert described["version"] == __version__
    assert "dependencies" not in described


def test_its_lock_names_no_address(js: Path) -> None:
    """The lock identifies packages by hashes, and has no addresses."""
    lock = json.loads((js / "package-lock.json").read_text(encoding="utf-8"))
    packages = [entry for path, entry in lock["packages"].items() if path]
    assert all("integrity" in entry and "resolved" not in entry for entry in packages)
