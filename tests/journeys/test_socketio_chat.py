"""The chat of `examples/socketio-chat` in a real browser: the same client, on its old server and on Forestay."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, WebSocketRoute, expect

from tests.support.browser import launched
from tests.support.local_redis import free_port
from tests.support.node import environment, node, npm
from tests.support.repository import ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

EXAMPLE = ROOT / "examples" / "socketio-chat"
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ECONNRESET")
expect.set_options(timeout=15_000)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its packages."""
    folder = tmp_path_factory.mktemp("examples") / EXAMPLE.name
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    try:
        npm("ci", "--no-audit", "--no-fund", cwd=folder)
    except AssertionError as error:
        if any(code in str(error) for code in UNREACHABLE):
            pytest.skip("the npm registry cannot be reached")
        raise
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with launched(chromium) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module", params=["before", "after"])
async def address(request: pytest.FixtureRequest, example: Path) -> AsyncIterator[str]:
    """The address of the chat, on its old server or on Forestay."""
    port = free_port()
    if request.param == "before":
        command = [str(node()), str(example / "server-before.mjs")]
    else:
        command = [sys.executable, str(example / "start.py"), f"--port={port}", f"--gateway-port={free_port()}"]
    async with _started(command, PORT=str(port)) as page:
        yield page


async def test_the_same_client_chats(address: str, browser: Browser) -> None:
    """Messages, rooms, typing and a lost connection look the same on both servers, with the same client file."""
    async with _visitor(browser, address, "Alice") as alice, _visitor(browser, address, "Bob") as bob:
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


class Visitor:
    """A browser of its own with the chat, whose connection the test can cut."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._sockets: list[tuple[WebSocketRoute, WebSocketRoute]] = []
        self.complaints: list[str] = []

    async def come(self, address: str, nickname: str) -> None:
        await self.page.route_web_socket("**/socket.io/**", self._pass)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await self.page.goto(address)
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

    async def cut(self) -> None:
        """Ends the WebSocket on both sides, as a proxy that goes away does."""
        inside, outside = self._sockets[-1]
        await outside.close()
        await inside.close()

    def _pass(self, inside: WebSocketRoute) -> None:
        self._sockets.append((inside, inside.connect_to_server()))


@asynccontextmanager
async def _visitor(browser: Browser, address: str, nickname: str) -> AsyncIterator[Visitor]:
    context = await browser.new_context()
    visitor = Visitor(await context.new_page())
    try:
        await visitor.come(address, nickname)
        yield visitor
        assert visitor.complaints == []
    finally:
        await context.close()


@asynccontextmanager
async def _started(command: list[str], **variables: str) -> AsyncIterator[str]:
    """Runs a server that prints the address of its page when it serves."""
    clean = {name: value for name, value in environment().items() if not name.startswith("FORESTAY_")}
    process = await asyncio.create_subprocess_exec(
        *command,
        env=clean | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # The Node of this environment is a launcher with a child.
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            found = line.decode(errors="replace").strip().rpartition(" ")[2]
            if found.startswith("http://127.0.0.1:") and found.endswith("/"):
                break
        else:
            pytest.fail("the server ended before it served")
        rest = asyncio.create_task(process.stdout.read())
        yield found
        os.killpg(process.pid, signal.SIGTERM)
        await rest
        await process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
