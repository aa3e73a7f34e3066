"""What is written in JavaScript and TypeScript, here and in the pages, is formatted and passes the linter."""

from pathlib import Path

import pytest

from tests.support.node import npm
from tests.support.repository import files, name

pytestmark = pytest.mark.timeout(120)

# One is built here, the other one is another project's.
BUILT = {"app/forestay/web/demo/forestay.js", "docs/site/assets/iframe-worker.js"}


def test_the_linter_reads_every_file_and_finds_nothing(js: Path) -> None:
    """Client, tests, tools and pages follow the rules of biome.jsonc, without a warning."""
    said = npm("run", "lint", "--", "--verbose", cwd=js)
    written = {name(path) for path in files() if path.suffix in (".js", ".jsx", ".mjs", ".ts")} - BUILT
    assert [path for path in written if f"- {path}\n" not in said] == []
