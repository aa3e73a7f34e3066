"""The page about proxies has what `make meet` sees."""

import sys

import pytest

from tests.meet.__main__ import TABLE
from tests.meet.checks import CHECKS
from tests.meet.kinds import KINDS
from tests.meet.proxies import POD
from tests.support.process import Program


def test_the_page_has_every_proxy_and_every_check() -> None:
    """Each proxy with one version, each check with a verdict."""
    known = TABLE.read()
    assert [title.rpartition(" ")[0] for title in known] == list(KINDS)
    for verdicts in known.values():
        assert list(verdicts) == [row for row, _ in CHECKS]
        assert all(verdicts.values())


@pytest.mark.parametrize("name", KINDS)
def test_the_docs_have_a_configuration_of_each(name: str) -> None:
    """It is the one that is run, with other ports and files."""
    text = KINDS[name].example()
    assert [pod[1] for pod in POD.finditer(text)][:2] == ["1", "2"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_the_verdicts_are_those_of_the_page() -> None:
    """Each proxy that can be had here is started, and does what the page says at its version."""
    process = await Program((sys.executable, "-m", "tests.meet")).start()
    out, error = await process.communicate()
    if process.returncode == 2:
        pytest.skip(out.decode().strip().splitlines()[-1])
    assert process.returncode == 0, (out + error).decode()[-3000:]
