"""Takes the pictures of the operators' page for docs/ops.md: three pods, some rooms, and a user that hears nothing."""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from playwright.async_api import expect

from tests.support.browser import chromium, launched
from tests.support.gateway import Client, Gateway
from tests.support.local_redis import QUICK, RedisServer
from tests.support.operator import operator
from tests.support.pods import pods

PICTURES: Final = Path(__file__).parent / "pictures"
_ROOMS: Final = """
[[rooms]]
pattern = "**"
presence = true
"""
_NAMES: Final = ("forestay-5d9c7b6f4-7mlwd", "forestay-5d9c7b6f4-q8zzp", "forestay-5d9c7b6f4-x2x7k")
# Seconds between two messages, and seconds for which the lines of the page grow.
_REST: Final = 0.05
_WHILE: Final = 20.0


async def _crowd(fleet: Sequence[Gateway]) -> list[Client]:
    """Members of some rooms, and a user whose token does not have the room that it wants."""
    rooms = ("chat.lobby", "chat.lobby", "chat.deck", "chat.lobby", "log.orders")
    members = [await fleet[number % 3].join(f"user-{number}", rooms[number % 5]) for number in range(60)]
    alice = await fleet[0].join("alice", "chat.lobby", rooms={"chat.*": "rw"})
    for _ in range(3):
        await alice.ask({"type": "join", "room": "log.orders"})
    return [*members, alice]


async def _talk(speaker: Client) -> None:
    while True:
        await speaker.say({"type": "broadcast", "room": "chat.lobby", "payload": {"text": "hello"}})
        await asyncio.sleep(_REST)


async def _read(client: Client) -> None:
    while True:
        await client.read()


async def main() -> None:
    path = chromium()
    if path is None:
        raise SystemExit("no Chromium on PATH, and CHROMIUM names none")
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder) / "redis", *QUICK)
        redis.start()
        try:
            await _take(path, redis, Path(folder))
        finally:
            redis.close()


async def _take(path: str, redis: RedisServer, folder: Path) -> None:
    async with pods(redis, folder, _ROOMS) as new_pod, launched(path) as browser:
        fleet = []
        for name in _NAMES:
            os.environ["POD_NAME"] = name
            fleet.append(await new_pod(message_rate=0))
        crowd = await _crowd(fleet)
        tasks = [asyncio.create_task(_read(client)) for client in crowd]
        tasks.append(asyncio.create_task(_talk(crowd[0])))
        async with operator(browser, fleet[0], {"width": 1280, "height": 620}) as someone:
            await someone.open()
            await asyncio.sleep(_WHILE)
            await someone.page.screenshot(path=PICTURES / "ops.png")
            await someone.go("user=alice")
            await someone.page.get_by_label("Room that it should hear").fill("log.orders")
            await expect(someone.page.locator(".findings")).to_contain_text("forbidden")
            await someone.page.screenshot(path=PICTURES / "ops-user.png")
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


if __name__ == "__main__":
    asyncio.run(main())
