"""The views of the operators' page are those of its tabs, its documentation, the runbooks and the dashboard."""

import json
import re
from typing import Any

from tests.support.repository import ROOT

PAGE = ROOT / "app" / "forestay" / "web" / "ops"
RUNBOOKS = ROOT / "docs" / "runbooks.md"


def views(name: str) -> list[str]:
    """The views in one of the tables of the page's own list."""
    [table] = re.findall(rf"export const {name} = {{\n(.*?)}};", _text("views.js"), re.DOTALL)
    return re.findall(r"^  (\w+):", table, re.MULTILINE)


def test_each_view_has_a_tab() -> None:
    """The tabs are the views that are about nothing in particular, in the same order."""
    assert re.findall(r'<a href="#(\w+)">', _text("index.html")) == views("VIEWS")
    assert set(re.findall(r'<option value="(\w+)">', _text("index.html"))) == set(views("STORIES"))


def test_the_documentation_has_each_view() -> None:
    """docs/ops.md has a row for each view, and for no other."""
    rows = re.findall(r"^\| `/ops#(\w+)(=?)", (ROOT / "docs" / "ops.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for name, about in rows if not about) == sorted(views("VIEWS"))
    assert sorted(name for name, about in rows if about) == sorted(views("STORIES"))


def test_each_runbook_names_a_view() -> None:
    """Each alert's runbook names exactly one view to look at first, and it exists."""
    sections = re.split(r"^## ", RUNBOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    named = {each.split("\n", 1)[0]: re.findall(r"^Look at `/ops#(\w+)`\.$", each, re.MULTILINE) for each in sections}
    assert {alert: found for alert, found in named.items() if len(found) != 1 or found[0] not in views("VIEWS")} == {}


def test_the_dashboard_leads_to_views() -> None:
    """The dashboard and its panels link to the page, at an address that is a variable, and to views that exist."""
    dashboard: dict[str, Any] = json.loads((ROOT / "helm/forestay/files/dashboard.json").read_text(encoding="utf-8"))
    assert [link["url"] for link in dashboard["links"]] == ["${ops}"]
    [variable] = [each for each in dashboard["templating"]["list"] if each["name"] == "ops"]
    assert variable["query"].endswith("/ops")
    linked = [link["url"] for panel in dashboard["panels"] for link in panel.get("links", ())]
    assert linked
    assert {url for url in linked if url.removeprefix("${ops}#") not in views("VIEWS")} == set()


def test_links_in_the_page_lead_to_views() -> None:
    """Each fragment that the page's own code links to names a view."""
    code = "".join(path.read_text(encoding="utf-8") for path in PAGE.glob("*.js"))
    plain, about = re.findall(r'href: "#(\w+)"', code), re.findall(r'\blink\("(\w+)"', code)
    assert plain
    assert about
    assert set(plain) <= set(views("VIEWS"))
    assert set(about) <= set(views("STORIES"))


def _text(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
