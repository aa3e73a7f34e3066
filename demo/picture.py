"""Opens the page in a browser, deploys the page's pod, and saves a screenshot."""

import asyncio
from pathlib import Path
from typing import Final

from playwright.async_api import Page, expect

from demo.pods import ROOT
from demo.web import shown
from tests.support.browser import chromium, launched

PICTURE: Final = ROOT / "docs" / "pictures" / "deploy.png"
# In milliseconds. A pod takes its window to end and some seconds to start, on a machine that may be busy.
_PATIENCE: Final = 60_000


async def deploy_under(page: Page, address: str) -> tuple[str, str]:
    """Opens the page and deploys its pod. Returns the page's pod before and after, once the old pod is back."""
    await page.goto(address)
    body = page.locator("body")
    await expect(page.locator(".numbers li").nth(20)).to_be_attached(timeout=_PATIENCE)
    old = await body.get_attribute("data-pod") or ""
    await page.get_by_role("button", name=f"Deploy {old}").click()
    await expect(page.locator(f'.pod[data-name="{old}"]')).to_have_attribute("data-state", "draining")
    await expect(body).not_to_have_attribute("data-moves", "0", timeout=_PATIENCE)
    await expect(page.locator(f'.pod[data-name="{old}"]')).to_have_attribute("data-state", "ready", timeout=_PATIENCE)
    return old, await body.get_attribute("data-pod") or ""


async def main() -> None:
    path = chromium()
    if path is None:
        raise SystemExit("no Chromium on PATH, and CHROMIUM names none")
    PICTURE.parent.mkdir(exist_ok=True)
    async with shown() as address, launched(path) as browser:
        page = await browser.new_page(viewport={"width": 1100, "height": 800})
        await deploy_under(page, address)
        await page.screenshot(path=Path(PICTURE))


if __name__ == "__main__":
    asyncio.run(main())
