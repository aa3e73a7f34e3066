"""Prepares the clients: the JavaScript one is installed, built and packed once for all its tests."""

from pathlib import Path

import pytest

from clients.conformance.sdks import NAMES, command
from tests.support.node import PACKAGE, node, npm, run


@pytest.fixture(scope="session", params=NAMES)
def sdk(request: pytest.FixtureRequest) -> str:
    """The name of an SDK that can run here."""
    name = str(request.param)
    if name == "js":
        request.getfixturevalue("built")
    return name


@pytest.fixture(scope="session")
def adapter(sdk: str) -> list[str]:
    """The command that starts the adapter of that SDK."""
    return command(sdk)


@pytest.fixture(scope="session")
def js() -> Path:
    """The folder of the package with its tools installed."""
    try:
        for folder in (PACKAGE, PACKAGE / "tests" / "react18"):
            npm("ci", "--no-audit", "--no-fund", cwd=folder)
    except AssertionError as error:
        if any(code in str(error) for code in ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ECONNRESET")):
            pytest.skip("the npm registry cannot be reached")
        raise
    return PACKAGE


@pytest.fixture(scope="session")
def built(js: Path) -> bytes:
    """The demo page's copy as it was before the build."""
    page = PACKAGE.parents[1] / "app" / "forestay" / "web" / "demo" / "forestay.js"
    before = page.read_bytes()
    run(node(), js / "build.mjs")
    return before


@pytest.fixture(scope="session")
def tarball(js: Path, built: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that `npm publish` would send."""
    folder = tmp_path_factory.mktemp("packed")
    npm("pack", "--ignore-scripts", "--pack-destination", folder)
    [packed] = folder.glob("*.tgz")
    return packed


@pytest.fixture(scope="session")
def project(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with only the packed package installed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    npm("install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts", tarball, cwd=folder)
    return folder
