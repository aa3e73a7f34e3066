"""A real Chromium, where this machine has one, and a gateway in development mode for its page."""

import asyncio
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import jwt
from playwright.async_api import Browser, Error, Page, Request, async_playwright

from tests.support.repository import ROOT

NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""A container has no display and no rights for the sandbox. The other options stop requests to the vendor."""
CHANGED: Final = "net::ERR_NETWORK_CHANGED"
"""What Chromium says of a request that it has dropped because the network of the machine changed."""
_SECRET: Final = "a secret for tests only, long enough for HS256"
_LINK: Final = re.compile(r"(?P<page>http://\S+/)#key=\S+")
# In seconds. A start imports everything, on a machine that may be busy.
_PATIENCE: Final = 30.0


def chromium() -> str | None:
    """The path of a Chromium: the one that CHROMIUM names, else the first on PATH. None is downloaded."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@asynccontextmanager
async def launched(path: str) -> AsyncIterator[Browser]:
    """Runs the browser at `path`, with the back-forward cache that it has for people."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=FLAGS, ignore_default_args=["--disable-back-forward-cache"]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def load(page: Page, url: str) -> None:
    """Opens a page with all that it asks for.

    A browser drops its requests when an interface of the machine comes or goes, as those of containers do.
    """
    dropped: list[Request] = []

    def note(request: Request) -> None:
        if CHANGED in (request.failure or ""):
            dropped.append(request)

    page.on("requestfailed", note)
    for number in range(5):
        dropped.clear()
        try:
            await (page.reload() if number else page.goto(url))
        except Error as error:
            if CHANGED not in str(error):
                raise
        else:
            if not dropped:
                break
    page.remove_listener("requestfailed", note)


@dataclass(frozen=True, slots=True)
class DevGateway:
    """A gateway process with `--dev`, with links to its page."""

    page: str
    """The address of the page, without a token."""
    printed: str
    """The link that the gateway prints. Each tab with it is another person."""
    process: asyncio.subprocess.Process

    @property
    def port(self) -> int:
        return int(self.page.rstrip("/").rpartition(":")[2])

    def link(self, user: str, rooms: dict[str, str] | None = None) -> str:
        """A link with a token of `user`."""
        return f"{self.page}#token={token(user, rooms)}"

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.returncode is None:
            self.process.send_signal(how)
        try:
            await asyncio.wait_for(self.process.wait(), _PATIENCE)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise


def token(user: str, rooms: dict[str, str] | None = None) -> str:
    """A token for one hour. `rooms` maps patterns to rights."""
    claims: dict[str, object] = {"sub": user, "exp": int(time.time()) + 3600}
    if rooms is not None:
        claims["rooms"] = rooms
    return jwt.encode(claims, _SECRET, algorithm="HS256")


@asynccontextmanager
async def dev_gateway(port: int = 0, **variables: str) -> AsyncIterator[DevGateway]:
    """Runs `serve --dev` on `port`, or on a free port, with these variables until the block ends."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FORESTAY_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "forestay", "serve", "--dev", "--port", str(port), "--internal-port", "0"),
        cwd=ROOT,
        # No grace, so that the users of a test have left when the next one starts.
        env={**environment, "FORESTAY_JWT_SECRET": _SECRET, "FORESTAY_PRESENCE_GRACE": "0", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    output_lines: list[str] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            link = await _page(process.stdout, output_lines)
    except (TimeoutError, EOFError):
        process.kill()
        await process.wait()
        raise AssertionError(f"the gateway printed no link:\n{''.join(output_lines)}") from None
    # The log is not used from here on, but a full pipe would block the process.
    rest = asyncio.create_task(process.stdout.read())
    gateway = DevGateway(link["page"], link[0], process)
    try:
        yield gateway
    finally:
        await gateway.stop()
        await rest


async def _page(output: asyncio.StreamReader, output_lines: list[str]) -> re.Match[str]:
    async for line in output:
        output_lines.append(line.decode(errors="replace"))
        if found := _LINK.search(output_lines[-1]):
            return found
    raise EOFError
