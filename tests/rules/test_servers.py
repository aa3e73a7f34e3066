"""The page about Redis names the servers that `make servers` runs, in their versions."""

from pathlib import Path

import pytest

from tests.support.servers import PACKAGED
from tests.support.wheels import Packaged

PAGE = Path(__file__).parents[2] / "docs/redis.md"


@pytest.mark.parametrize("server", PACKAGED)
def test_the_page_names_each_server_and_its_package(server: Packaged) -> None:
    """A row of the table has the server, its package and both versions."""
    assert f"| {server.name} | PyPI, `{server.package}` {server.version} |" in PAGE.read_text(encoding="utf-8")
