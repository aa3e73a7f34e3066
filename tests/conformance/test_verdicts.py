"""The checker of the Autobahn run finds faults, which the fuzzer's exit status would hide."""

from typing import Final

import pytest

from tests.conformance.verdicts import SHARDS, Reported, Shard, examine, table

SHARD: Final = Shard("a section", ("7.*",), 2)
OK: Final = {"behavior": "OK", "behaviorClose": "OK"}


def test_a_complete_correct_run_has_no_fault() -> None:
    """A complete run whose cases are OK in both verdicts has no fault."""
    assert examine(SHARD, {"7.1.1": OK, "7.1.2": OK}).faults == []


def test_a_case_that_was_not_run_is_a_fault() -> None:
    """A case that was not run is a fault, so a crashed server does not pass."""
    assert examine(SHARD, {"7.1.1": OK}).faults == ["1 cases were run instead of 2"]


@pytest.mark.parametrize(
    ("case", "behavior", "closing"),
    [
        ("7.9.5", "FAILED", "OK"),
        ("7.9.5", "OK", "WRONG CODE"),
        ("7.9.5", "OK", "UNCLEAN"),
        ("6.4.5", "NON-STRICT", "OK"),
        ("7.1.5", "INFORMATIONAL", "INFORMATIONAL"),
        ("1.1.1", "UNIMPLEMENTED", "OK"),
        ("17.13.1", "INFORMATIONAL", "OK"),
    ],
)
def test_what_is_not_allowed_by_name_is_a_fault(case: str, behavior: str, closing: str) -> None:
    """A wrong verdict of either kind is a fault, unless an exception names that case."""
    reported: Reported = {case: {"behavior": behavior, "behaviorClose": closing}, "7.1.2": OK}
    assert len(examine(SHARD, reported).faults) >= 1


@pytest.mark.parametrize(
    ("case", "verdict"),
    [("6.4.3", "NON-STRICT"), ("4.2.5", "NON-STRICT"), ("7.13.2", "INFORMATIONAL")],
)
def test_a_named_exception_is_no_fault(case: str, verdict: str) -> None:
    """A named case may differ from OK, but only in the named way."""
    reported: Reported = {case: {"behavior": verdict, "behaviorClose": "OK"}, "7.1.2": OK}
    assert examine(SHARD, reported).faults == []


def test_all_cases_of_the_suite_are_run() -> None:
    """The shards together have each of the 517 cases once."""
    patterns = [pattern for shard in SHARDS for pattern in shard.patterns]
    assert (sum(shard.expected for shard in SHARDS), len(patterns)) == (517, len(set(patterns)))


def test_the_table_names_every_fault() -> None:
    """The table prints each fault with its case."""
    assert "FAULT case 7.9.5: behavior FAILED" in table([examine(SHARD, {"7.9.5": {**OK, "behavior": "FAILED"}})])
