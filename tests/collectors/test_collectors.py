"""The pages about metrics and tracing have what `make collectors` sees."""

import sys

import pytest

from tests.collectors.__main__ import PAGES, table
from tests.support.process import Program


@pytest.mark.parametrize("page", PAGES)
def test_the_page_has_each_of_them(page: str) -> None:
    """With a version, and something in each cell."""
    known = table(page).read()
    assert [row.rpartition(" ")[0] for row in known] == list(PAGES[page])
    assert all(all(verdicts.values()) for verdicts in known.values())


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_the_verdicts_are_those_of_the_pages() -> None:
    """Each scraper and collector that can be had here has what the page says at its version."""
    process = await Program((sys.executable, "-m", "tests.collectors")).start()
    out, error = await process.communicate()
    if process.returncode == 2:
        pytest.skip(out.decode().strip().splitlines()[-1])
    assert process.returncode == 0, (out + error).decode()[-3000:]
