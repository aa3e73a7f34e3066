"""The chat of `examples/socketio-chat` in a real browser: the same client, on its old server and on Forestay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.support.example import FOLDER, Start, Visitor, installed, serving, visitor
from tests.support.local_redis import free_port
from tests.support.node import node

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]
EXAMPLES_HERE = ["socketio-chat"]


@pytest_asyncio.fixture(loop_scope="session", params=["before", "after"])
async def address(request: pytest.FixtureRequest, start: Start) -> AsyncIterator[str]:
    """The address of the chat, on its old server or on Forestay."""
    if request.param == "before":
        folder = FOLDER / "socketio-chat"
        await installed(folder)
        async with serving([str(node()), str(folder / "server-before.mjs")], PORT=str(free_port())) as page:
            yield page
    else:
        yield (await start("socketio-chat")).page


async def test_the_same_client_chats(address: str, browser: Browser) -> None:
    """Messages, rooms, typing and a lost connection look the same on both servers, with the same client file."""
    async with _chatter(browser, address, "Alice") as alice, _chatter(browser, address, "Bob") as bob:
        await alice.expect("somebody came in")
        await alice.say("hello")
        await bob.expect("Alice: hello")
        await alice.expect("Alice: hello")

        await bob.page.get_by_label("Message").press_sequentially("hi")
        await expect(alice.page.locator("#typing")).to_have_text("Bob is typing")
        await expect(bob.page.locator("#typing")).to_have_text("")
        await bob.page.keyboard.press("Enter")
        await alice.expect("Bob: hi")

        await alice.enter("random")
        await bob.say("only in general")
        await bob.expect("Bob: only in general")
        await bob.enter("random")
        await bob.say("in random")
        await alice.expect("Bob: in random")
        await expect(alice.page.locator("#messages")).not_to_contain_text("only in general")

        await alice.cut()
        await bob.say("while you were away")
        await expect(alice.page.locator("#state")).to_have_text("back, and nothing was missed")
        await alice.expect("Bob: while you were away")
        await expect(alice.page.get_by_text("while you were away")).to_have_count(1)
        await alice.say("here again")
        await bob.expect("Alice: here again")


class Chatter:
    """Somebody who chats."""

    def __init__(self, visitor: Visitor) -> None:
        self.page = visitor.page
        self.cut = visitor.cut

    async def come(self, nickname: str) -> None:
        await self.page.get_by_label("Nickname").fill(nickname)
        # The client polls first, and cannot be cut before it has moved to its WebSocket.
        async with self.page.expect_event("websocket"):
            await self.page.keyboard.press("Enter")
        await self.expect("you are in general")

    async def enter(self, room: str) -> None:
        await self.page.get_by_role("button", name=room).click()
        await self.expect(f"you are in {room}")

    async def say(self, text: str) -> None:
        await self.page.get_by_label("Message").fill(text)
        await self.page.keyboard.press("Enter")

    async def expect(self, line: str) -> None:
        await expect(self.page.locator("#messages li", has_text=line).first).to_be_visible()


@asynccontextmanager
async def _chatter(browser: Browser, address: str, nickname: str) -> AsyncIterator[Chatter]:
    async with visitor(browser, address, sockets="**/socket.io/**") as found:
        chatter = Chatter(found)
        await chatter.come(nickname)
        yield chatter
