"""The page of `make demo` in a real browser, while its pod is deployed."""

import pytest
from playwright.async_api import ConsoleMessage, ViewportSize

from demo.picture import deploy_under
from demo.web import shown
from tests.support.accessibility import axe_script, faults
from tests.support.browser import launched
from tests.support.example import DESKTOP

PHONE: ViewportSize = {"width": 390, "height": 844}


@pytest.mark.timeout(180)
@pytest.mark.stock_loop  # the demo runs on it
async def test_a_deploy_goes_unnoticed(chromium: str) -> None:
    """The page moves to the other pod before its own stops, and no number is missing or repeated. All can read it."""
    async with shown() as address, launched(chromium) as browser:
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.extend(_complaint(message)))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        old, new = await deploy_under(page, address)
        assert {old, new} == {"A", "B"}
        found = {
            name: await page.locator(f"#{name}").inner_text() for name in ("missing", "repeated", "moves", "breaks")
        }
        assert found == {"missing": "0", "repeated": "0", "moves": "1", "breaks": "0"}
        # The numbers on the screen agree with the count: each is one more than the previous one.
        numbers = [int(text) for text in await page.locator(".numbers li").all_inner_texts()]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert await page.locator(f'.numbers li[data-pod="{old}"]').count() > 0
        assert await page.locator(f'.numbers li[data-pod="{new}"]').count() > 0
        assert complaints == []
        axe = await axe_script()
        for size in (DESKTOP, PHONE):
            await page.set_viewport_size(size)
            await page.emulate_media(color_scheme="light" if size is DESKTOP else "dark")
            assert await faults(page, axe) == []


def _complaint(message: ConsoleMessage) -> list[str]:
    return [message.text] if message.type in ("error", "warning") else []
