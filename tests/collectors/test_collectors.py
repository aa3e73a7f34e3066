"""The pages about metrics and tracing have what `make collectors` sees."""

import pytest

from tests.collectors.__main__ import PAGES, table
from tests.support.verdicts import compared


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
    await compared("tests.collectors")
