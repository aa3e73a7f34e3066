"""The checker of the conformance run sees what is wrong; a fuzzer that exits with 0 would hide it."""

from typing import Final

import pytest

from tests.conformance.verdicts import SHARDS, Reported, Shard, examine, table

SHARD: Final = Shard("a section", ("7.*",), 2)
OK: Final = {"behavior": "OK", "behaviorClose": "OK"}


def test_what_is_right_has_no_fault() -> None:
    """Cases that are OK in both verdicts, and as many as there should be, pass."""
    assert examine(SHARD, {"7.1.1": OK, "7.1.2": OK}).faults == []


def test_a_case_that_was_not_run_is_a_fault() -> None:
    """A server that crashed half-way does not pass by what it never had to answer."""
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
    """Either verdict can be the fault, and an exception is good for its own cases only."""
    reported: Reported = {case: {"behavior": behavior, "behaviorClose": closing}, "7.1.2": OK}
    assert len(examine(SHARD, reported).faults) >= 1


@pytest.mark.parametrize(
    ("case", "verdict"),
    [("6.4.3", "NON-STRICT"), ("4.2.5", "NON-STRICT"), ("7.13.2", "INFORMATIONAL"), ("12.1.18", "UNIMPLEMENTED")],
)
def test_a_named_exception_is_none(case: str, verdict: str) -> None:
    """The cases that may differ from OK may do so, and only in the way that is named."""
    reported: Reported = {case: {"behavior": verdict, "behaviorClose": "OK"}, "7.1.2": OK}
    assert examine(SHARD, reported).faults == []


def test_all_cases_of_the_suite_are_run() -> None:
    """The shards together are the 517 cases of the suite, none of them twice."""
    patterns = [pattern for shard in SHARDS for pattern in shard.patterns]
    assert (sum(shard.expected for shard in SHARDS), len(patterns)) == (517, len(set(patterns)))


def test_the_table_names_every_fault() -> None:
    """What went wrong is printed, case by case."""
    assert "FAULT case 7.9.5: behavior FAILED" in table([examine(SHARD, {"7.9.5": {**OK, "behavior": "FAILED"}})])
