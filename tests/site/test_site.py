"""The site of the documentation: built without a warning, read and searched without a network."""

import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Request, expect

from docs.site import build, publish
from tests.support.browser import launched
from tests.support.example import installed
from tests.support.repository import ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

# One of each kind: the first page, code, wide tables.
PAGES: Final = ("index.html", "docs/webhooks.html", "docs/capacity.html")
# WCAG 2.2, levels A and AA. The first cell of a table whose rows have names may be empty.
FAULTS: Final = """async () => {
    const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await axe.run({ runOnly, rules: { "empty-table-header": { enabled: false } } });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 120)}`));
}"""
OUTSIDE: Final = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//""")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pages and the site of them."""
    folder = tmp_path_factory.mktemp("site")
    try:
        build.build(folder)
    except subprocess.CalledProcessError as failed:
        pytest.fail(str(failed.output))
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with launched(chromium) as browser:
        yield browser


async def test_no_page_needs_the_network(folder: Path) -> None:
    """No page loads a script, a style, a font or a picture from elsewhere."""
    pages = list((folder / "html").rglob("*.html"))
    assert len(pages) > 100
    assert [page.name for page in pages if OUTSIDE.search(page.read_text(encoding="utf-8"))] == []


async def test_the_search_answers_from_files(folder: Path, browser: Browser) -> None:
    """Opened as files with the network cut, the site finds words in the text of its pages and opens the page."""
    context = await browser.new_context(offline=True)
    page = await context.new_page()
    asked: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            asked.append(request.url)

    page.on("request", note)
    await page.goto((folder / "html" / "index.html").as_uri())
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox", name="Search").fill("leeway")
    found = page.get_by_role("listbox", name="Search results").get_by_role("option").first
    await expect(found).to_contain_text("the connection ends, in Unix seconds up to the year 9999", timeout=15_000)
    await found.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("The protocol")
    assert asked == []
    await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_pages_are_usable_for_everybody(scheme: str, folder: Path, browser: Browser) -> None:
    """Axe finds no violation on pages of each kind, in either colours, and the colours are those that are asked for."""
    axe = ROOT / "tests" / "support" / "axe"
    await installed(axe)
    context = await browser.new_context(offline=True, color_scheme="dark" if scheme == "dark" else "light")
    page = await context.new_page()
    # The colours of wide tables are those of the others.
    for name in PAGES if scheme == "light" else PAGES[:2]:
        await page.goto((folder / "html" / name).as_uri())
        await expect(page.locator("body")).to_have_attribute(
            "data-md-color-scheme", {"light": "default", "dark": "slate"}[scheme]
        )
        await page.add_script_tag(path=axe / "node_modules" / "axe-core" / "axe.min.js")
        assert (name, await page.evaluate(FAULTS)) == (name, [])
    await context.close()


async def test_a_link_that_leads_nowhere_fails_the_build(folder: Path) -> None:
    """A link to a missing page or heading fails the build, and the output says where the link is."""
    page = folder / "pages" / "docs" / "why.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(f"{text}\n[nowhere](nowhere.md) and [no heading](settings.md#no-such-heading)\n", encoding="utf-8")
    try:
        with pytest.raises(subprocess.CalledProcessError) as failed:
            build.make(folder)
    finally:
        page.write_text(text, encoding="utf-8")
    assert "docs/why.md" in failed.value.output
    assert "page does not exist" in failed.value.output
    assert "anchor does not exist" in failed.value.output


async def test_a_release_adds_a_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two releases leave two versions on the branch; `latest` and the root lead to the newer one."""
    site = tmp_path / "html"
    site.mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.com")
    _git("init", "--quiet", "--initial-branch", "main")
    for version in ("0.1.0", "0.2.0", "0.2.1"):
        (site / "index.html").write_text(f"of {version}", encoding="utf-8")
        publish.publish(version, site)
    versions = [(each["version"], each["title"], each["aliases"]) for each in json.loads(_show("versions.json"))]
    assert versions == [("0.2", "0.2.1", ["latest"]), ("0.1", "0.1.0", [])]
    assert (_show("0.1/index.html"), _show("0.2/index.html")) == ("of 0.1.0", "of 0.2.1")
    assert "../0.2/" in _show("latest/index.html")
    assert "latest/" in _show("index.html")


async def test_what_cannot_be_published_says_so(tmp_path: Path) -> None:
    """A word that is no version, and a folder without a site, end the command with a sentence."""
    with pytest.raises(SystemExit, match=r"'main' is no version such as 1\.2\.3"):
        publish.publish("main", tmp_path)
    with pytest.raises(SystemExit, match="has no site: run `make site` first"):
        publish.publish("0.1.0", tmp_path)


def _show(path: str) -> str:
    return _git("show", f"{publish.BRANCH}:{path}")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout
