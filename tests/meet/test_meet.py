"""The page about proxies has what `make meet` sees."""

import os
import signal
import sys
from typing import Final

import pytest

from tests.meet.__main__ import TABLE
from tests.meet.checks import CHECKS
from tests.meet.kinds import KINDS
from tests.meet.proxies import POD
from tests.support.process import Program
from tests.support.verdicts import compared


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


LEAVES_ONE: Final = """
import asyncio, sys
from tests.support.descendants import nothing_left

DAEMON = "setsid sh -c 'echo $$; exec sleep 600' & exit"

async def main():
    await asyncio.create_subprocess_exec("sh", "-c", DAEMON)
    if sys.argv[1] == "hang":
        await asyncio.sleep(600)
    if sys.argv[1] == "raise":
        await asyncio.sleep(0.5)
        raise ValueError

with nothing_left():
    asyncio.run(main())
"""
"""Starts a process that leaves its parent and its session, says which one it is, and then does as it is told."""


@pytest.mark.skipif(sys.platform != "linux", reason="processes without a parent are found on Linux only")
@pytest.mark.parametrize(("how", "ended_by"), [("raise", None), ("hang", signal.SIGINT), ("hang", signal.SIGTERM)])
async def test_a_run_leaves_no_process(how: str, ended_by: signal.Signals | None) -> None:
    """Neither after a failure, nor after Ctrl-C or SIGTERM, also where a program made itself a daemon."""
    process = await Program((sys.executable, "-c", LEAVES_ONE)).start(how)
    assert process.stdout is not None
    daemon = int(await process.stdout.readline())
    if ended_by is not None:
        process.send_signal(ended_by)
    _, said = await process.communicate()
    assert process.returncode == (1 if ended_by is None else 130), said.decode()
    with pytest.raises(ProcessLookupError):
        os.kill(daemon, 0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_the_verdicts_are_those_of_the_page() -> None:
    """Each proxy that can be had here is started, and does what the page says at its version."""
    await compared("tests.meet")
