"""The gateway keeps the rules of the protocol, and survives random input beside ordinary clients."""

import asyncio
import os
import random
import sys

import pytest

from tests.conformance.autobahn import autobahn
from tests.conformance.fuzz import Plan, fuzz
from tests.conformance.install import Missing, fuzzer
from tests.conformance.rules import rules
from tests.conformance.verdicts import SHORT

# The gateway runs on the loop that is asked for. Its clients here write to connections that it has ended, which the
# transport of uvloop takes for a mistake.
pytestmark = pytest.mark.stock_loop

INPUTS = 2_000
SEED = int(os.environ.get("FUZZ_SEED") or (1 if os.environ.get("CI") else random.randrange(1, 1_000_000)))
"""Another one in each run, so that developers try ever new inputs; always the same one where CI is set."""


@pytest.mark.timeout(240)
async def test_every_rule_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """Masks, close codes, handshakes, limits, silent clients, and a pod that stood still."""
    kept = await rules()
    assert kept, "\n".join(line for line in capfd.readouterr().out.splitlines() if line.startswith("BROKEN"))


@pytest.mark.timeout(240)
async def test_random_input_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    """Some seconds of random input leave the ordinary clients, the memory and the files as they were."""
    survived = await fuzz(Plan(SEED, range(INPUTS)))
    failures = [line for line in capfd.readouterr().out.splitlines() if line.startswith("FAILED")]
    assert survived, "\n".join([f"FUZZ_SEED={SEED} repeats this", *failures])


@pytest.mark.skipif(
    bool(os.environ.get("CI")) and sys.version_info < (3, 12),
    reason="half a minute, which CI spends on the Python of the image only",
)
@pytest.mark.timeout(300)
async def test_the_autobahn_suite_finds_no_fault(capfd: pytest.CaptureFixture[str]) -> None:
    """Each case, of compression a few, has the expected verdict. It needs a CPython 2.7 and a package index."""
    try:
        await asyncio.to_thread(fuzzer)
    except Missing as missing:
        pytest.skip(str(missing).splitlines()[0])
    holds = await autobahn(SHORT)
    assert holds, capfd.readouterr().out
