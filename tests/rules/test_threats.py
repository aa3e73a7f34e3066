"""Each threat of the threat model has a defence, a module and a test; each defence can still be taken out."""

from collections import Counter
from pathlib import Path

import pytest

from tests.mutation.defences import Defence, defences
from tests.support.repository import ROOT, codes, rows, syntax

NUMBERS = [f"S{number:02}" for number in range(1, 59)]
# What is not code of the gateway cannot be taken out of it.
_OUTSIDE = {"S05", "S41"}
_UNCHECKED = {"S33", "S38"}
"""Threats with a test, and without a defence in the list: there is nothing to take out, or a library has it."""

THREATS = [row for row in rows("THREAT_MODEL.md", about="Number") if row[0].startswith("S")]


def _has_test(name: str) -> bool:
    """Whether `path::function` is a test of this tree, or `path` a file with tests."""
    file, _, function = name.partition("::")
    path = ROOT / file
    if not path.is_file():
        return False
    tests = {getattr(node, "name", "") for node in syntax(path).body}
    return function in tests if function else any(one.startswith("test_") for one in tests)


def test_every_threat_is_in_the_table_once() -> None:
    """The numbers to S41 are those of the list that reviewers use, in their order. Ours follow."""
    assert [row[0] for row in THREATS] == NUMBERS


@pytest.mark.parametrize("row", THREATS, ids=[row[0] for row in THREATS])
def test_the_module_and_the_test_of_a_threat_exist(row: list[str]) -> None:
    """A defence that moved, or a test that was renamed, is moved or renamed in the table too."""
    number, threat, defence, module, test = row
    assert threat, number
    assert defence, number
    [path] = codes(module)
    assert (ROOT / "app" / "forestay" / path).is_file() or (ROOT / path).is_file(), path
    assert all(_has_test(name) for name in codes(test)), test


def test_every_threat_of_our_code_has_a_defence_that_can_be_taken_out() -> None:
    """`make mutate` shows for each of them that a test notices."""
    covered = {number for one in defences() for number in one.threats}
    assert covered <= set(NUMBERS)
    assert set(NUMBERS) - covered == _OUTSIDE | _UNCHECKED


@pytest.mark.parametrize("defence", defences(), ids=lambda one: one.name)
def test_a_defence_can_still_be_taken_out(defence: Defence) -> None:
    """Its text is in its file once, and its tests exist. After a change, `tests/mutation/defences.toml` changes too."""
    path = ROOT / defence.file
    assert path.is_file(), f"{defence.file} is gone: name the new place in tests/mutation/defences.toml"
    changed = defence.taken_out(path.read_text())
    compile(changed, Path(defence.file).name, "exec")
    assert defence.tests
    assert [name for name in defence.tests if not _has_test(name)] == []


def test_the_names_of_defences_are_different() -> None:
    """`make mutate ARGS="pongs"` finds one of them by its name."""
    assert [name for name, times in Counter(one.name for one in defences()).items() if times > 1] == []
