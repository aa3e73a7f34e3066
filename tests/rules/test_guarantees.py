"""What docs/guarantees.md promises is held up by tests that exist."""

import ast
import re

from tests.support.repository import ROOT

PAGE = (ROOT / "docs/guarantees.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[(tests/[\w/]+\.py)::(\w+)\]\(\.\./([\w/]+\.py)\)")


def test_every_promise_names_tests_that_exist() -> None:
    """By file and function; the link leads to that file."""
    links = LINK.findall(PAGE)
    assert len(links) > 15
    for path, function, target in links:
        assert path == target
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}


def test_each_promise_has_one() -> None:
    """A paragraph that starts with a promise ends with its tests."""
    promises, _, _ = PAGE.partition("## Not promised")
    for paragraph in promises.split("\n\n"):
        if paragraph.startswith("**"):
            assert LINK.search(paragraph), paragraph


def test_words_that_nobody_can_keep_are_not_used() -> None:
    """See the page itself for what is said instead."""
    for words in ("exactly once", "guaranteed delivery", "zero message loss", "zero loss", "five nines"):
        assert words not in PAGE.lower()
