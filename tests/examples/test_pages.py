"""What holds for the pages of all examples: they fit their window, and everybody can use them."""

from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yarl
from playwright.async_api import Browser, ViewportSize, expect

from examples.__main__ import EXAMPLES
from tests.support.accessibility import axe_script, faults, sticking_out
from tests.support.example import DESKTOP, Start, sign_in, visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]

# The chat of Socket.IO is as its tutorial has it.
EXAMPLES_HERE = sorted(EXAMPLES.keys() - {"socketio-chat"})
# The other one has the same page.
PAGES = [name for name in EXAMPLES_HERE if name != "express"]
PHONE: ViewportSize = {"width": 390, "height": 844}
SMALL: ViewportSize = {"width": 320, "height": 640}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def axe() -> Path:
    """The script that looks for faults."""
    return await axe_script()


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop-light", "phone-dark"])
@pytest.mark.parametrize("name", PAGES)
async def test_the_page_is_usable_for_everybody(
    name: str, size: ViewportSize, *, dark: bool, start: Start, browser: Browser, axe: Path
) -> None:
    """Axe finds no violation, and nothing sticks out of the window: before and after one signs in, where one does."""
    running = await start(name)
    async with visitor(browser, running.page, size, dark=dark) as guest:
        page = guest.page
        if "Your name" in await page.content():
            await expect(page.get_by_label("Your name")).to_be_focused()
            assert await faults(page, axe) == []
            await sign_in(page, "Somebody with a long name")
            for text in ("word " * 20, "unbroken" * 12):
                for field in await page.get_by_role("textbox").all():
                    await field.fill(text.strip())
                    await field.press("Enter")
                    # It has been accepted.
                    await expect(field).to_have_value("")
        else:
            await expect(page.locator("#state")).to_have_text("Live." if name == "dashboard" else "Connected.")
        assert await faults(page, axe) == []
        await page.set_viewport_size(SMALL)
        assert await sticking_out(page) == []


@pytest.mark.parametrize("name", EXAMPLES_HERE)
async def test_no_page_has_a_secret(name: str, start: Start) -> None:
    """A browser gets the files of the page from the backend, which have no key, and no other file of the example."""
    running, folder = await start(name), EXAMPLES[name].folder
    async with aiohttp.ClientSession() as session:
        for file in (folder / "page").iterdir():
            async with session.get(f"{running.page}{file.name}") as answer:
                text = await answer.text()
            assert answer.status == 200
            assert "SECRET" not in text
            assert "API_KEY" not in text
        for path in ("backend.py", "rooms.toml", "gateway.env", "%2e%2e/gateway.env", "%2e%2e%2frooms.toml"):
            async with session.get(yarl.URL(running.page + path, encoded=True)) as answer:
                assert answer.status in (403, 404), path
