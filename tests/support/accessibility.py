"""Looks for faults in a page: what people who cannot see or use a mouse lack, and what sticks out of the window."""

from pathlib import Path
from typing import Final

from playwright.async_api import Page

from tests.support.example import installed
from tests.support.repository import ROOT

# WCAG 2.2, levels A and AA.
_FAULTS: Final = """async () => {
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    const { violations } = await axe.run({ runOnly: tags });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 120)}`));
}"""
_STICKING_OUT: Final = """() => [...document.querySelectorAll("body *")]
    .filter((each) => !each.matches(".unseen, svg *, .cursor, .skip") && each.getClientRects().length > 0)
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5 || each.getBoundingClientRect().left < -0.5)
    .map((each) => each.outerHTML.slice(0, 120))"""


async def axe_script() -> Path:
    """The script that looks for faults. Skips the test where the registry of npm cannot be reached."""
    folder = ROOT / "tests" / "support" / "axe"
    await installed(folder)
    return folder / "node_modules" / "axe-core" / "axe.min.js"


async def faults(page: Page, axe: Path) -> list[str]:
    """What axe finds, and what sticks out. A page with a policy for scripts needs a context that goes around it."""
    await page.add_script_tag(path=axe)
    found: list[str] = await page.evaluate(_FAULTS)
    return found + await sticking_out(page)


async def sticking_out(page: Page) -> list[str]:
    """The elements that are wider than the window."""
    found: list[str] = await page.evaluate(_STICKING_OUT)
    return found
