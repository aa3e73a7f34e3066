"""A backend that publishes ascending numbers to a room, on whichever pod answers."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp

from demo.pods import Pod

# In seconds. A retry has the same key, so that a number that did arrive is not published twice.
_PATIENCE: Final = 2.0
_PAUSE: Final = 0.05


class Publisher:
    """Publishes numbers from 1 on, at a given rate."""

    def __init__(self, room: str, api_key: str, ready: Callable[[], Sequence[Pod]]) -> None:
        """`ready`: the pods to publish on."""
        self.last = 0
        """The last number that a pod accepted."""
        self._room = room
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._ready = ready
        self._run = secrets.token_hex(4)

    async def count(self, rate: float) -> None:
        """Publishes until it is cancelled."""
        async with aiohttp.ClientSession(
            headers=self._headers, timeout=aiohttp.ClientTimeout(total=_PATIENCE)
        ) as session:
            while True:
                await self._say(session, self.last + 1)
                self.last += 1
                await asyncio.sleep(1 / rate)

    async def _say(self, session: aiohttp.ClientSession, number: int) -> None:
        body = {"payload": {"n": number}, "key": f"{self._run}-{number}"}
        while True:
            for pod in self._ready():
                url = f"http://127.0.0.1:{pod.internal_port}/v1/rooms/{self._room}/messages"
                try:
                    async with session.post(url, json=body) as answer:
                        if answer.ok:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
            await asyncio.sleep(_PAUSE)
