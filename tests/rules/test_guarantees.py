"""Every promise in docs/guarantees.md names existing tests."""

import ast
import re

from tests.support.repository import ROOT

PAGE = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[(tests/[\w/]+\.py)::(\w+)\]\(\.\./([\w/]+\.py)\)")


def test_every_promise_names_tests_that_exist() -> None:
    """Each test is named by file and function, and its link leads to that file."""
    links = LINK.findall(PAGE)
    assert len(links) > 15
    for path, function, target in links:
        assert path == target
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}


def test_each_promise_names_a_test() -> None:
    """A paragraph that starts with a promise ends with its tests."""
    promises, _, _ = PAGE.partition("## Not promised")
    for paragraph in promises.split("\n\n"):
        if paragraph.startswith("**"):
            assert LINK.search(paragraph), paragraph


def test_absolute_words_are_not_used() -> None:
    """The page avoids absolute words that no system can keep."""
    for words in ("exactly once", "guaranteed delivery", "zero message loss", "zero loss", "five nines"):
        assert words not in PAGE.lower()
