"""The shop of `examples/orders` in a real browser, with its backend on FastAPI, and on Express."""

import base64
import json
from datetime import UTC, datetime

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from standardwebhooks import Webhook

from tests.support.example import Running, Start, sign_in, visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]


@pytest_asyncio.fixture(loop_scope="session", params=["fastapi", "express"])
async def shop(request: pytest.FixtureRequest, start: Start) -> Running:
    return await start(request.param)


async def order(page: Page, item: str) -> None:
    await page.get_by_label("What would you like?").fill(item)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("What would you like?")).to_have_value("")


async def test_an_order_is_followed_through_a_cut(shop: Running, browser: Browser) -> None:
    """A customer sees each order become shipped, although the connection is cut meanwhile, and nobody else sees it."""
    async with visitor(browser, shop.page) as ada, visitor(browser, shop.page) as bob:
        await sign_in(ada.page, "Ada")
        await sign_in(bob.page, "Bob")
        await order(ada.page, "a <kettle>")
        line = ada.page.locator("#orders li", has_text="a <kettle>")
        await expect(line).to_contain_text("received")
        await ada.cut(away=True)
        await expect(ada.page.locator("#state")).to_contain_text("Connecting.")
        # The backend is reached while the gateway is not.
        await order(ada.page, "a cup")
        ada.back()
        for item in ("a <kettle>", "a cup"):
            await expect(ada.page.locator("#orders li", has_text=item)).to_contain_text("shipped")
        await expect(ada.page.locator("#orders li")).to_have_count(2)
        await expect(bob.page.locator("#orders li")).to_have_count(0)
        await ada.page.reload()
        await expect(ada.page.locator("#orders li", has_text="shipped")).to_have_count(2)


async def test_webhooks_count_who_is_online(shop: Running, browser: Browser) -> None:
    """The backend hears who comes and goes, and tells all pages."""
    async with visitor(browser, shop.page) as ada:
        await sign_in(ada.page, "Ada")
        # Those of the tests before are gone.
        await expect(ada.page.locator("#online")).to_have_text("1")
        async with visitor(browser, shop.page) as bob:
            await sign_in(bob.page, "Bob")
            await expect(ada.page.locator("#online")).to_have_text("2")
            await expect(bob.page.locator("#online")).to_have_text("2")
        await expect(ada.page.locator("#online")).to_have_text("1")


async def test_a_forged_webhook_is_refused(shop: Running, browser: Browser) -> None:
    """One that is signed with another key, and one without a signature, change nothing."""
    event = {"type": "user.online", "sequence": "9", "data": {"user": "mallory"}}
    body = json.dumps({"type": "batch", "data": {"events": [event]}})
    now = datetime.now(UTC)
    signature = Webhook(base64.b64encode(b"another key, of a stranger").decode()).sign("batch_1", now, body)
    signed = {
        "webhook-id": "batch_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    async with aiohttp.ClientSession() as session:
        for headers in (signed, {}):
            content = {"Content-Type": "application/json"}
            async with session.post(f"{shop.page}webhooks", data=body, headers=content | headers) as answer:
                assert answer.status == 401
    async with visitor(browser, shop.page) as ada:
        await sign_in(ada.page, "Ada")
        await expect(ada.page.locator("#online")).to_have_text("1")


async def test_who_is_not_signed_in_gets_nothing(shop: Running) -> None:
    """No token and no order without a session, and no session without a name."""
    async with aiohttp.ClientSession() as session:
        for path, body, status in (
            ("token", {}, 401),
            ("orders", {"item": "a kettle"}, 401),
            ("session", {"name": ""}, 422),
            ("session", {"name": "x" * 31}, 422),
            ("session", {}, 422),
        ):
            async with session.post(shop.page + path, json=body) as answer:
                assert answer.status == status, path
        async with session.get(f"{shop.page}session") as answer:
            assert (await answer.json())["name"] is None
