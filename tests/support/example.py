"""Runs an example of `examples/` as its README says, and opens its page as a visitor whose connection can be cut."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, Page, ViewportSize, WebSocketRoute, expect

from examples.__main__ import EXAMPLES, install
from tests.support.local_redis import free_port
from tests.support.node import environment
from tests.support.repository import ROOT

FOLDER: Final = ROOT / "examples"
DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 800}
# In seconds. A server that ends may have to wait for others.
PATIENCE: Final = 30.0
# The registry of npm cannot be reached.
UNREACHABLE: Final = ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "ECONNRESET")


@dataclass(frozen=True)
class Running:
    """An example that runs."""

    page: str
    """The address of its page, with a slash at its end."""
    gateway_port: int
    api_port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway_port}/ws"


async def installed(folder: Path) -> None:
    """Installs packages of npm, as an example does it. Skips the test where the registry cannot be reached."""
    try:
        await asyncio.to_thread(install, folder)
    except SystemExit as failed:
        if any(code in str(failed) for code in UNREACHABLE):
            pytest.skip("the npm registry cannot be reached")
        raise AssertionError(str(failed)) from None


@asynccontextmanager
async def example(name: str) -> AsyncIterator[Running]:
    """Runs `python examples NAME` on free ports."""
    chosen = EXAMPLES[name]
    await installed((chosen.folder / chosen.backend).parent)
    ports = {option: free_port() for option in ("--port", "--gateway-port", "--api-port")}
    arguments = [f"{option}={port}" for option, port in ports.items()]
    # Clients come back sooner than they should where there are many.
    async with serving([sys.executable, str(FOLDER), name, *arguments], FORESTAY_RECONNECT_SPREAD="0.3") as page:
        yield Running(page, ports["--gateway-port"], ports["--api-port"])


Start = Callable[[str], Awaitable[Running]]
"""Waits until an example runs, by its name."""


@asynccontextmanager
async def started(names: Collection[str]) -> AsyncIterator[Start]:
    """Runs these examples side by side until the block ends."""
    ready = {name: asyncio.get_running_loop().create_future() for name in names}
    over = asyncio.Event()

    async def run(name: str) -> None:
        async with example(name) as running:
            ready[name].set_result(running)
            await over.wait()

    tasks = {name: asyncio.create_task(run(name)) for name in names}

    async def start(name: str) -> Running:
        await asyncio.wait([ready[name], tasks[name]], return_when=asyncio.FIRST_COMPLETED)
        if tasks[name].done():
            # It raises what prevented the start, which may be a reason to skip the test.
            await tasks[name]
        running: Running = ready[name].result()
        return running

    try:
        yield start
    finally:
        over.set()
        for result in await asyncio.gather(*tasks.values(), return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@asynccontextmanager
async def serving(command: list[str], **variables: str) -> AsyncIterator[str]:
    """Runs a server until the block ends. Yields the address of its page, which it prints when it serves."""
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
    output: list[str] = []
    later: list[bytes] = []
    try:
        async for line in process.stdout:
            output.append(line.decode(errors="replace"))
            found = output[-1].strip().rpartition(" ")[2]
            if found.startswith("http://127.0.0.1:") and found.endswith("/"):
                break
        else:
            pytest.fail(f"the server ended before it served:\n{''.join(output)}")
        rest = asyncio.create_task(_collect(process.stdout, later))
        yield found
    finally:
        # What it prints while it serves is a fault: a traceback, or a warning.
        faults = b"".join(later).decode(errors="replace")
        await _end(process)
    await rest
    assert not faults, faults


async def _end(process: asyncio.subprocess.Process) -> None:
    """Asks it to end, for it may have processes of its own to end."""
    if process.returncode is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), PATIENCE)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _collect(output: asyncio.StreamReader, into: list[bytes]) -> None:
    while line := await output.readline():
        into.append(line)


class Visitor:
    """A browser of its own with a page, whose WebSocket the test can cut."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._sockets: list[tuple[WebSocketRoute, WebSocketRoute]] = []
        self._away = False
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._note(message.type, message.text))

    async def come(self, address: str, sockets: str) -> None:
        await self.page.route_web_socket(sockets, self._pass)
        await self.page.goto(address)

    async def cut(self, *, away: bool = False) -> None:
        """Ends the WebSocket on both sides, as a proxy does that goes away. With `away` no other opens until `back`."""
        self._away = away
        inside, outside = self._sockets[-1]
        await outside.close()
        await inside.close()

    def tell(self, sentence: object) -> None:
        """Sends the page a message, as if it came from the gateway."""
        inside, _ = self._sockets[-1]
        inside.send(json.dumps(sentence))

    def back(self) -> None:
        self._away = False

    @property
    def connections(self) -> int:
        """How many WebSockets the page has opened, with those that came to nothing."""
        return len(self._sockets)

    async def _pass(self, inside: WebSocketRoute) -> None:
        if self._away:
            await inside.close()
        else:
            self._sockets.append((inside, inside.connect_to_server()))

    def _note(self, kind: str, text: str) -> None:
        # After a handshake that fails, the client asks why; where nothing is wrong, 426 says so.
        if kind in ("error", "warning") and "426 (Upgrade Required)" not in text:
            self.complaints.append(text)


@asynccontextmanager
async def visitor(
    browser: Browser,
    address: str,
    size: ViewportSize = DESKTOP,
    *,
    dark: bool = False,
    sockets: str = "**/ws",
) -> AsyncIterator[Visitor]:
    """Opens the page, which must log no error and no warning. `sockets`: which WebSockets may be cut."""
    context = await browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
    found = Visitor(await context.new_page())
    try:
        await found.come(address, sockets)
        yield found
        assert not found.complaints, found.complaints
    finally:
        await context.close()


async def sign_in(page: Page, name: str) -> None:
    """Give the name that the example's page asks for."""
    await page.get_by_label("Your name").fill(name)
    await page.keyboard.press("Enter")
    await expect(page.locator("#state")).to_have_text(f"You are {name}.")
