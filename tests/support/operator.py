"""An operator in front of the page at `/ops`, in a real browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from playwright.async_api import Browser, Page, Request, ViewportSize, expect

from tests.support.browser import CHANGED, load
from tests.support.gateway import API_KEY, Pod

DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 800}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}


@dataclass
class Operator:
    """The page, and what its browser complained of and asked for."""

    page: Page
    pod: Pod
    complaints: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def note(self, request: Request) -> None:
        """Keeps what the browser asked for."""
        self.requests.append(request)

    def complain(self, kind: str, text: str) -> None:
        """Keeps an error of the browser, unless the machine caused it.

        Pods have a second to answer each other, and one that stands still is late.
        """
        if kind == "error" and CHANGED not in text and "504 (Gateway Timeout)" not in text:
            self.complaints.append(text)

    async def open(self, view: str = "", key: str = API_KEY) -> None:
        """Opens a view by its address, and gives the key."""
        await load(self.page, f"{self.pod.internal}/ops#{view}")
        await self.unlock(key)

    async def unlock(self, key: str = API_KEY) -> None:
        await self.page.get_by_label("The API key of this gateway").fill(key)
        await self.page.get_by_role("button", name="Open").click()

    async def go(self, view: str) -> None:
        """Goes to a view as a link does."""
        await self.page.evaluate("(view) => { location.hash = view; }", view)

    async def agree(self, button: str) -> None:
        """Confirms an action, and waits until it is done."""
        dialog = self.page.get_by_role("dialog")
        await dialog.get_by_role("button", name=button, exact=True).click()
        await expect(dialog).to_be_hidden()


@asynccontextmanager
async def operator(
    browser: Browser, pod: Pod, size: ViewportSize = DESKTOP, *, dark: bool = False, bypass_csp: bool = False
) -> AsyncIterator[Operator]:
    """An operator with a browser context of its own. `bypass_csp` lets a script of the test into the page."""
    context = await browser.new_context(
        viewport=size, color_scheme="dark" if dark else "light", reduced_motion="reduce", bypass_csp=bypass_csp
    )
    page = await context.new_page()
    one = Operator(page, pod)
    page.on("console", lambda message: one.complain(message.type, message.text))
    page.on("pageerror", lambda error: one.complaints.append(str(error)))
    page.on("request", one.note)
    try:
        yield one
    finally:
        await context.close()
