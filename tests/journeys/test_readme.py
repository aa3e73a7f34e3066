"""The README's page and its client work as printed."""

import asyncio
import random
import sys
import time

import aiohttp
import jwt
from playwright.async_api import expect

from forestay.pod import inputs as preparation
from forestay.pod import server
from forestay.pod.tasks import Supervisor
from forestay.settings import settings
from tests.support.browser import launched
from tests.support.printed_pages import serving
from tests.support.repository import blocks

SECRET = "readme-secret-of-more-than-32-bytes"
API_KEY = "readme-api-key-of-more-than-32-bytes"


def token() -> str:
    return jwt.encode({"sub": "alice", "exp": time.time() + 600}, SECRET)


async def started() -> server.Server:
    given = settings.load(
        {"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_API_KEY": API_KEY, "FORESTAY_ALLOWED_ORIGINS": "*"},
        host="127.0.0.1",
        port=0,
        internal_port=0,
    )
    running = server.Server(given, preparation.prepare(given, Supervisor(random.uniform)))
    await running.start()
    return running


async def test_the_python_client_hears_itself_and_a_backend() -> None:
    """The Python example receives its own message and a backend's."""
    running = await started()
    [source] = blocks("README.md", "python")
    source = source.replace("127.0.0.1:8080", f"127.0.0.1:{running.port}")
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", source, token(), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert client.stdout is not None
        assert b"alice {'text': 'hello'}" in await asyncio.wait_for(client.stdout.readline(), 10)
        url = f"http://127.0.0.1:{running.internal_port}/v1/rooms/chat.lobby/messages"
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with aiohttp.request("POST", url, json={"payload": "from behind"}, headers=headers) as response:
            assert response.status == 200
        assert b"None from behind" in await asyncio.wait_for(client.stdout.readline(), 10)
    finally:
        client.kill()
        await client.wait()
        await running.stop(asyncio.Event())


async def test_the_page_hears_itself(chromium: str) -> None:
    """The page that the README prints shows what its form sends."""
    running = await started()
    try:
        async with serving() as address, launched(chromium) as browser:
            page = await browser.new_page()
            await page.goto(f"{address}/README.md?gateway={running.port}#{token()}")
            await page.get_by_label("Message").fill("hello")
            await page.get_by_label("Message").press("Enter")
            await expect(page.locator("pre")).to_have_text("alice: hello\n", timeout=20_000)
    finally:
        await running.stop(asyncio.Event())
