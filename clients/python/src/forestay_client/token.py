"""The token at hand, and when another one is needed."""

import asyncio
import base64
import binascii
import inspect
import json
import time
from collections.abc import Awaitable, Callable

GetToken = Callable[[], str | Awaitable[str]]


def expiry(token: str) -> float | None:
    """When a JWT expires, in Unix seconds, read and not verified; None where it does not say."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, KeyError, TypeError, ValueError):
        return None


class Tokens:
    """Asks the application for a token only when the one at hand is missing, expired or refused."""

    def __init__(self, get_token: GetToken, clock: Callable[[], float] = time.time) -> None:
        self._get_token = get_token
        self._clock = clock
        self._token: str | None = None
        self._last_chance = False
        self._one_at_a_time = asyncio.Lock()

    async def get(self) -> str:
        """The token at hand, or a new one."""
        async with self._one_at_a_time:
            if self._token is None or self.remaining(self._token) <= 0:
                self._token = await self._ask()
            return self._token

    async def renew(self) -> str:
        """A new token, which is not the one at hand before it is kept."""
        async with self._one_at_a_time:
            return await self._ask()

    async def _ask(self) -> str:
        found = self._get_token()
        if not inspect.isawaitable(found):
            return found
        asking = asyncio.ensure_future(found)
        try:
            # `wait` ends with its caller even where the application does not let itself be cancelled: who has gone away
            # meanwhile never sees the token.
            await asyncio.wait({asking})
        finally:
            asking.cancel()
        return asking.result()

    def keep(self, token: str) -> None:
        self._token = token

    def remaining(self, token: str) -> float:
        """Seconds that `token` is still good for."""
        expires = expiry(token)
        return float("inf") if expires is None else expires - self._clock()

    def refused(self) -> bool:
        """The gateway took the token for a bad one; whether another one is worth a try: once."""
        again = not self._last_chance
        self._last_chance, self._token = True, None
        return again

    def accepted(self) -> None:
        """A connection lived with the token at hand."""
        self._last_chance = False
