"""Each page of the tree has its place in the navigation of the site."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from docs.site.build import CONFIGURATION
from docs.site.pages import names

READERS = {"Clients", "Backends", "Operators", "Project"}
KINDS = {"How-to", "Reference", "Explanation"}
# Other pages lead to these: a record to its list, and what an editor of a pull request sees to nothing.
UNDER_ANOTHER = ("docs/adr/0",)


@pytest.fixture(scope="module")
def groups() -> dict[str, Any]:
    """The navigation: what each tab holds."""
    read = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    return {title: below for each in read["nav"] for title, below in each.items()}


def test_each_page_is_in_one_group(groups: dict[str, Any]) -> None:
    """A page is in the navigation once, so that a reader finds it; a page of the navigation exists."""
    placed = Counter(_paths(groups))
    pages = {name for name in names() if not name.startswith(UNDER_ANOTHER)}
    in_no_group = sorted(pages - placed.keys())
    assert in_no_group == [], (
        f"{in_no_group} in no group: add it to nav in docs/site/mkdocs.yml, where its reader looks"
    )
    assert sorted(placed.keys() - pages) == []
    assert [page for page, times in placed.items() if times > 1] == []


def test_groups_are_readers_and_kinds(groups: dict[str, Any]) -> None:
    """Each tab is for one kind of reader, but for the first two; below it pages are sorted by what they are for."""
    assert {*groups} == READERS | {"Start", "Tutorials"}
    for reader in READERS:
        kinds = {kind for each in groups[reader] for kind in each}
        assert kinds <= KINDS | {"Examples", "Contributing"}
        assert len(kinds & KINDS) >= 2


def _paths(below: Any) -> Iterator[str]:
    if isinstance(below, str):
        yield below
    else:
        for each in below.values() if isinstance(below, dict) else below:
            yield from _paths(each)
