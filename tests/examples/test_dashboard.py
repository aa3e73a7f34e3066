"""The dashboard of `examples/dashboard` in a real browser."""

import json
import re

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, WebSocketRoute, expect

from tests.support.example import Running, Start, visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]
EXAMPLES_HERE = ["dashboard"]


@pytest_asyncio.fixture(loop_scope="session")
async def dashboard(start: Start) -> Running:
    return await start("dashboard")


async def seen(page: Page) -> int:
    return int(await page.locator("#seen").inner_text())


async def more(page: Page, number: int) -> None:
    """Wait until the page has so many more messages than now."""
    wanted = await seen(page) + number
    await page.wait_for_function("n => Number(document.getElementById('seen').textContent) >= n", arg=wanted)


async def test_numbers_come_and_change(dashboard: Running, browser: Browser) -> None:
    """Cards, lines and the table show what the backend publishes, and go on changing."""
    async with visitor(browser, dashboard.page) as viewer:
        page = viewer.page
        await expect(page.locator("#state")).to_have_text("Live.")
        await expect(page.locator("#cities tr")).to_have_count(16)
        before = await page.locator("#cities").inner_text()
        await more(page, 3)
        assert await page.locator("#cities").inner_text() != before
        cells = [await row.locator("td").first.inner_text() for row in await page.locator("#cities tr").all()]
        sum_of_cities = sum(int(re.sub(r"\D", "", cell)) for cell in cells)
        card = re.sub(r"\D", "", await page.locator("#visitors").inner_text())
        # Not read in one moment, so a message may lie between them.
        assert abs(int(card) - sum_of_cities) < 0.1 * sum_of_cities
        points = await page.locator("polyline").first.get_attribute("points")
        assert points is not None
        assert len(points.split()) >= await seen(page) - 1


async def test_a_latecomer_sees_the_state_at_once(dashboard: Running, browser: Browser) -> None:
    """What was published before is there although nothing comes: the page's connection hears no live message."""
    async with visitor(browser, dashboard.page) as early:
        await more(early.page, 8)
    async with visitor(browser, "about:blank") as late:

        def deaf(inside: WebSocketRoute) -> None:
            def pass_on(message: str | bytes) -> None:
                if json.loads(message)["type"] != "broadcast":
                    inside.send(message)

            inside.connect_to_server().on_message(pass_on)

        await late.page.route_web_socket("**/ws", deaf)
        await late.page.goto(dashboard.page)
        await expect(late.page.locator("#cities tr")).to_have_count(16)
        assert await seen(late.page) >= 8


async def test_a_cut_connection_leaves_no_hole(dashboard: Running, browser: Browser) -> None:
    """The page says that its numbers are old, and when it is back it has those that it missed."""
    async with visitor(browser, dashboard.page) as away, visitor(browser, dashboard.page) as there:
        await more(away.page, 2)
        await away.cut(away=True)
        await expect(away.page.locator("#state")).to_contain_text("last numbers that came")
        before = await seen(away.page)
        # So many are published meanwhile.
        await more(there.page, 6)
        assert await seen(away.page) == before
        away.back()
        await expect(away.page.locator("#state")).to_have_text("Live.")
        await more(away.page, before + 6 - await seen(away.page))
        await expect(away.page.locator("#missing")).to_have_text("0")


async def test_numbers_are_compressed_and_nobody_else_can_write(dashboard: Running, browser: Browser) -> None:
    """Messages take a third of their bytes on the wire, and the token of a viewer lets it read only."""
    # A WebSocket that the test could cut would not be compressed.
    async with visitor(browser, dashboard.page, sockets="none"), aiohttp.ClientSession() as session:
        plain = compressed = 0.0
        # What the page begins with comes from the history, and is not compressed.
        while not compressed:
            async with session.get(f"http://127.0.0.1:{dashboard.api_port}/metrics") as answer:
                metrics = await answer.text()
            plain, compressed = (
                float(re.findall(rf'compression_bytes_total{{direction="sent",form="{form}"}} (\S+)', metrics)[0])
                for form in ("plain", "compressed")
            )
        assert compressed < plain / 2
        async with session.post(f"{dashboard.page}token") as answer:
            headers = {"Authorization": f"Bearer {await answer.text()}"}
        url = f"http://127.0.0.1:{dashboard.gateway_port}/rooms/shop.numbers/messages"
        async with session.post(url, json={"payload": {}}, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "forbidden")
