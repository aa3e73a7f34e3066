"""What Redis shows of itself when something happens to a master, from which the scripts tell whether writes are lost.

The page about Redis has it as a table.
"""

from pathlib import Path

import pytest

from tests.servers.incarnations import CASES
from tests.support.local_redis import SHARDED

STEADY = ("its first replica attaches", "its last replica is away for `repl-backlog-ttl`")
"""Cases in which one process has been the master all the time."""


@pytest.mark.parametrize("case", CASES)
def test_only_a_steady_master_keeps_its_process_and_has_taken_nothing(case: str, tmp_path: Path) -> None:
    """Its id is new in every case. In two of them the process, and what it has taken from masters, are the same."""
    if "CLUSTER" in case and not SHARDED:
        pytest.skip("a Cluster needs Redis 7.0")
    id, former, process, taken, writes = CASES[case](tmp_path).shown
    assert id == "new"
    steady = (former, process, taken) == ("zeros", "the same", "the same")
    assert steady == (case in STEADY and SHARDED)
    if steady:
        assert writes == "all there"
