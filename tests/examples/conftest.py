"""One browser for the pages of all examples, and each example once."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.support.browser import launched
from tests.support.example import Start, started

expect.set_options(timeout=15_000)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with launched(chromium) as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def start(request: pytest.FixtureRequest, chromium: str) -> AsyncIterator[Start]:
    """Runs all examples that the chosen tests need: what their modules have in `EXAMPLES_HERE`."""
    modules = {item.module for item in request.session.items if isinstance(item, pytest.Function)}
    names = {name for module in modules for name in getattr(module, "EXAMPLES_HERE", ())}
    async with started(names) as start:
        yield start
