"""The shop of `examples/orders` in a real browser, with its backend on FastAPI, and on Express."""

import base64
import itertools
import json
from datetime import UTC, datetime

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from standardwebhooks import Webhook

from tests.support.example import Running, Start, sign_in, visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]
EXAMPLES_HERE = ["fastapi", "express"]


@pytest_asyncio.fixture(loop_scope="session", params=EXAMPLES_HERE)
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
        await order(ada.page, "a cup")
        await ada.cut(away=True)
        await expect(ada.page.locator("#state")).to_contain_text("Connecting.")
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


async def test_the_backend_decides_what_is_said(shop: Running, browser: Browser) -> None:
    """A question gets the name of who is signed in, and one with a link is refused with the backend's sentence."""
    async with visitor(browser, shop.page) as ada, visitor(browser, shop.page) as bob:
        await sign_in(ada.page, "Ada")
        await sign_in(bob.page, "Bob")
        question = ada.page.get_by_label("Ask the other customers")
        await question.fill("see http://example.com")
        await ada.page.keyboard.press("Enter")
        await expect(ada.page.locator("#ask-error")).to_have_text("Links are not allowed here.")
        await expect(question).to_have_value("see http://example.com")
        await question.fill("is the kettle loud?")
        await ada.page.keyboard.press("Enter")
        await expect(bob.page.locator("#questions li").first).to_have_text("is the kettle loud? Ada")
        await expect(ada.page.locator("#ask-error")).to_have_text("")
        await expect(bob.page.locator("#questions li", has_text="example.com")).to_have_count(0)


async def test_a_call_that_the_shop_does_not_know_is_refused(shop: Running, browser: Browser) -> None:
    """The backend answers each call: an order with its id, another method and a wrong item with a sentence."""
    async with visitor(browser, shop.page) as ada:
        await sign_in(ada.page, "Ada")
        answers = await ada.page.evaluate("""async () => {
            const { Client } = await import("forestay");
            const token = await (await fetch("/token", { method: "POST" })).text();
            const { gateway } = await (await fetch("/session")).json();
            const client = new Client(gateway, { getToken: () => token });
            client.connect();
            const ask = (method, payload) => client.call(method, payload).then(
                ({ item }) => item, ({ reason, message }) => `${reason}: ${message}`);
            const answers = await Promise.all([ask("orders.create", { item: "a pot" }),
                ask("orders.create", { item: "x".repeat(101) }), ask("orders.delete", {})]);
            client.disconnect();
            return answers;
        }""")
        assert answers == [
            "a pot",
            "bad_item: An item has 1 to 100 characters.",
            "unknown: The shop does not do that.",
        ]


async def test_what_is_forged_is_refused(shop: Running, browser: Browser) -> None:
    """Webhooks and questions that are signed with another key, or not at all, are answered 401 and change nothing."""
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
        for path, headers in itertools.product(("webhooks", "hooks"), (signed, {})):
            content = {"Content-Type": "application/json"}
            async with session.post(shop.page + path, data=body, headers=content | headers) as answer:
                assert answer.status == 401, path
    async with visitor(browser, shop.page) as ada:
        await sign_in(ada.page, "Ada")
        await expect(ada.page.locator("#online")).to_have_text("1")


async def test_who_is_not_signed_in_gets_nothing(shop: Running) -> None:
    """No token without a session, and no session without a name."""
    async with aiohttp.ClientSession() as session:
        for path, body, status in (
            ("token", {}, 401),
            ("session", {"name": ""}, 422),
            ("session", {"name": "x" * 31}, 422),
            ("session", {}, 422),
        ):
            async with session.post(shop.page + path, json=body) as answer:
                assert answer.status == status, path
        async with session.get(f"{shop.page}session") as answer:
            assert (await answer.json())["name"] is None
