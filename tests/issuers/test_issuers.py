"""The page about tokens has what `make issuers` sees."""

import pytest

from tests.issuers.__main__ import ISSUERS, TABLE, titled
from tests.issuers.checks import CHECKS
from tests.support.verdicts import compared


def test_the_page_has_every_issuer_and_every_check() -> None:
    """Each with its version and a verdict, and each gets in with its rights."""
    known = TABLE.read()
    assert list(known) == [titled(name) for name in ISSUERS]
    for verdicts in known.values():
        assert list(verdicts) == [title for title, _ in CHECKS]
        assert all(verdicts.values())
        assert verdicts["Gets in, with its rights"] == "yes"


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_the_verdicts_are_those_of_the_page() -> None:
    """Each issuer that can be had here signs tokens as the page says at its version."""
    await compared("tests.issuers")
