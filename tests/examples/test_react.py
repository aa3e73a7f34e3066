"""The chat of `examples/react` in a real browser: the hooks of `forestay/react`, in React's StrictMode, behind Vite."""

import asyncio
import json

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, WebSocket, expect

from tests.support.example import DESKTOP, PATIENCE, Running, Start, Visitor, visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]
EXAMPLES_HERE = ["react"]


@pytest_asyncio.fixture(loop_scope="session")
async def chat(start: Start) -> Running:
    return await start("react")


async def entered(page: Page) -> str:
    """The name of the guest, once the page is in its room."""
    await expect(page.get_by_role("log")).to_have_attribute("data-state", "joined")
    await expect(page.locator("#state")).to_have_text("Connected.")
    return (await page.locator("#user").inner_text()).removeprefix("You are ").removesuffix(".")


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Message", exact=True)).to_have_value("")


async def sees(page: Page, *texts: str) -> None:
    await expect(page.get_by_role("log").get_by_role("listitem").locator("span")).to_have_text(texts)


def people(guest: Visitor) -> Locator:
    return guest.page.get_by_role("complementary").get_by_role("listitem")


async def test_guests_talk_and_see_each_other(chat: Running, browser: Browser) -> None:
    """A message is on both pages, each guest is among the people of the other, and a newcomer reads what was said."""
    async with visitor(browser, chat.page) as one:
        first = await entered(one.page)
        await say(one.page, "hello <b>React</b>")
        async with visitor(browser, chat.page) as two:
            second = await entered(two.page)
            for guest in (one, two):
                await sees(guest.page, "hello <b>React</b>")
                await expect(people(guest)).to_have_count(2)
                for name in (first, second):
                    await expect(people(guest).filter(has_text=name)).to_have_count(1)
            await say(two.page, "hi")
            await sees(one.page, "hello <b>React</b>", "hi")
        await expect(people(one)).to_have_text([first])


async def test_a_cut_connection_misses_nothing(chat: Running, browser: Browser) -> None:
    """What is said while a page is away is there when it is back, once and in order, and its state is shown."""
    async with visitor(browser, chat.page) as one, visitor(browser, chat.page) as two:
        for guest in (one, two):
            await entered(guest.page)
            await guest.page.get_by_role("button", name="random").click()
            await entered(guest.page)
        await say(two.page, "before")
        await sees(one.page, "before")
        await one.cut(away=True)
        await expect(one.page.locator("#state")).to_have_text("Connecting.")
        await say(two.page, "meanwhile")
        one.back()
        await entered(one.page)
        await sees(one.page, "before", "meanwhile")


async def test_three_components_in_strict_mode_join_once(chat: Running, browser: Browser) -> None:
    """There is one connection. Each room is joined once, and is left once when the page shows another one."""
    context = await browser.new_context(viewport=DESKTOP)
    page = await context.new_page()
    sent: list[tuple[str, str]] = []
    sockets: list[str] = []
    left = asyncio.Event()

    def note(frame: str | bytes) -> None:
        told = json.loads(frame)
        sent.append((told["type"], told.get("room", "")))
        if told["type"] == "leave":
            left.set()

    def listen(socket: WebSocket) -> None:
        if socket.url == chat.url:
            sockets.append(socket.url)
            socket.on("framesent", note)

    page.on("websocket", listen)
    try:
        await page.goto(chat.page)
        await entered(page)
        await page.get_by_role("button", name="random").click()
        await expect(page.get_by_role("heading", name="random")).to_be_visible()
        await entered(page)
        await asyncio.wait_for(left.wait(), PATIENCE)
        moves = [each for each in sent if each[0] in ("join", "leave")]
        assert sorted(moves) == [("join", "chat.general"), ("join", "chat.random"), ("leave", "chat.general")]
        assert len(sockets) == 1
    finally:
        await context.close()
