"""The cursors of `examples/cursors` in a real browser, alone and among many."""

import asyncio
import struct
import time
from contextlib import AsyncExitStack
from typing import Self

import aiohttp
import jwt
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from forestay_client import Client
from tests.support.example import Running, Start, visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]
EXAMPLES_HERE = ["cursors"]

CROWD = 30


@pytest_asyncio.fixture(loop_scope="session")
async def cursors(start: Start) -> Running:
    return await start("cursors")


async def number(page: Page) -> str:
    """The number of the page's own cursor: the first one on its board."""
    found = await page.locator(".cursor").first.get_attribute("data-number")
    assert found is not None
    return found


async def is_at(cursor: Locator, x: float, y: float) -> None:
    """Wait until a cursor is at a place, in parts of the board."""
    await expect(cursor).to_have_count(1)
    await cursor.page.wait_for_function(
        """([cursor, x, y]) => Math.abs(cursor.style.getPropertyValue("--x") - x) < 0.01
            && Math.abs(cursor.style.getPropertyValue("--y") - y) < 0.01""",
        arg=[await cursor.element_handle(), x, y],
    )


async def point(page: Page, x: float, y: float, steps: int = 1) -> None:
    """Move the mouse to a place, in parts of the board."""
    box = await page.locator("#board").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=steps)


async def test_each_sees_where_the_other_is(cursors: Running, browser: Browser) -> None:
    """Mouse and arrow keys move the cursor on the other page; who comes later sees it where it is; who goes is gone."""
    async with visitor(browser, cursors.page) as ada:
        await expect(ada.page.locator("#people li")).to_have_count(1)
        await point(ada.page, 0.25, 0.75)
        async with visitor(browser, cursors.page) as bob:
            hers = bob.page.locator(f'.cursor[data-number="{await number(ada.page)}"]')
            await is_at(hers, 0.25, 0.75)
            name = (await ada.page.locator("#people li", has_text="(you)").inner_text()).removesuffix(" (you)")
            await expect(hers).to_have_text(name)
            await point(ada.page, 0.9, 0.1, steps=20)
            await is_at(hers, 0.9, 0.1)
            await ada.page.get_by_role("application").focus()
            for _ in range(5):
                await ada.page.keyboard.press("ArrowLeft")
            await is_at(hers, 0.8, 0.1)
            await point(bob.page, 0.5, 0.25)
            await is_at(ada.page.locator(f'.cursor[data-number="{await number(bob.page)}"]'), 0.5, 0.25)
        await expect(ada.page.locator("#people li")).to_have_count(1)
        await expect(ada.page.locator(".cursor")).to_have_count(1)


async def test_a_cut_connection_comes_back_to_the_board(cursors: Running, browser: Browser) -> None:
    """The page says that it is not seen, and when it is back, both see each other where they are."""
    async with visitor(browser, cursors.page) as ada, visitor(browser, cursors.page) as bob:
        await expect(bob.page.locator("#people li")).to_have_count(2)
        hers = bob.page.locator(f'.cursor[data-number="{await number(ada.page)}"]')
        his = ada.page.locator(f'.cursor[data-number="{await number(bob.page)}"]')
        await point(ada.page, 0.1, 0.1)
        await is_at(hers, 0.1, 0.1)
        await ada.cut(away=True)
        await expect(ada.page.locator("#state")).to_contain_text("Nobody sees")
        await point(ada.page, 0.6, 0.4)
        ada.back()
        await expect(ada.page.locator("#state")).to_have_text("Connected.")
        await is_at(hers, 0.6, 0.4)
        await point(bob.page, 0.3, 0.3)
        await is_at(his, 0.3, 0.3)


async def test_the_pace_is_bounded(cursors: Running, browser: Browser) -> None:
    """However fast the mouse is, a page sends at most 25 messages a second, of ten bytes each, and the last place."""
    sent: list[bytes] = []

    async with visitor(browser, "about:blank") as ada, visitor(browser, cursors.page) as bob:

        def note(frame: str | bytes) -> None:
            if isinstance(frame, bytes):
                sent.append(frame)

        ada.page.on("websocket", lambda socket: socket.on("framesent", note))
        await ada.page.goto(cursors.page)
        await expect(bob.page.locator("#people li")).to_have_count(2)
        sent.clear()
        began = time.monotonic()
        for turn in range(4):
            await point(ada.page, turn % 2, 0.5, steps=15)
        await point(ada.page, 0.5, 0.5)
        elapsed = time.monotonic() - began
        await is_at(bob.page.locator(f'.cursor[data-number="{await number(ada.page)}"]'), 0.5, 0.5)
        assert 2 <= len(sent) <= 25 * elapsed + 2
        assert {len(frame) for frame in sent} == {10}


async def test_many_cursors_at_once(cursors: Running, browser: Browser) -> None:
    """A page shows a crowd that moves 25 times a second, each with its name, and each where it stopped."""
    async with visitor(browser, cursors.page) as ada, AsyncExitStack() as stack:
        guests = await asyncio.gather(*(stack.enter_async_context(Guest(cursors)) for _ in range(CROWD)))
        await expect(ada.page.locator("#people li")).to_have_count(CROWD + 1)
        for _ in range(25):
            await asyncio.gather(*(guest.move(0.5, 0.5) for guest in guests), asyncio.sleep(0.04))
        await asyncio.gather(*(guest.move(i / CROWD, 1 - i / CROWD) for i, guest in enumerate(guests)))
        for i, guest in enumerate(guests):
            cursor = ada.page.locator(f'.cursor[data-number="{guest.number}"]')
            await is_at(cursor, i / CROWD, 1 - i / CROWD)
            await expect(cursor).to_have_text(guest.name)
        # Bytes that are no position move nothing, and break nothing.
        await guests[0].room.send(1, b"what is this?")
        await guests[0].move(0.25, 0.25)
        await is_at(ada.page.locator(f'.cursor[data-number="{guests[0].number}"]'), 0.25, 0.25)
        await expect(ada.page.locator(".cursor")).to_have_count(CROWD + 1)


class Guest:
    """Somebody on the board, without a page."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with aiohttp.ClientSession() as session, session.post(f"{self._running.page}token") as answer:
            token = await answer.text()
        info = jwt.decode(token, options={"verify_signature": False})["info"]
        self.number, self.name = info["number"], info["name"]
        client = await self._stack.enter_async_context(Client(self._running.url, get_token=lambda: token))
        self.room = client.room("board.main")
        await self.room.join()
        await self.room.bind(1)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def move(self, x: float, y: float) -> None:
        await self.room.send(1, struct.pack(">HHH", self.number, round(x * 65535), round(y * 65535)))
