"""The token at hand, and when another one is needed."""

import asyncio
import base64
import binascii
import inspect
import json
import logging
import re
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

_LOG = logging.getLogger("forestay_client")

GetToken = Callable[[], str | Awaitable[str]]

_STRANGE: Final = re.compile(r"[^\x21-\x7e]")


class UnusableTokenError(Exception):
    """What the application gave is no token. The message says why, and has nothing of it."""

    passes = False
    """Whether the next one may be a token."""


class StrangeTextError(UnusableTokenError):
    """It is a text that can be no token, such as the page of a server that fails."""

    passes = True


def checked(given: object) -> str:
    """The token, without the white space around it. Raises UnusableTokenError for what no gateway could read."""
    if not isinstance(given, str):
        raise UnusableTokenError(f"get_token returned {given.__class__.__name__}; a token is a str")
    token = given.strip()
    if not token:
        raise UnusableTokenError("get_token returned an empty str")
    if strange := _STRANGE.search(token):
        raise StrangeTextError(
            f"the token has white space, a control character or a letter outside ASCII in it (character "
            f"{strange.start() + 1} of {len(token)}), so it may be a page"
        )
    return token


def expiry(token: str) -> float | None:
    """When a JWT expires, in Unix seconds, read and not verified; None where it does not say."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (binascii.Error, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None


def said_of(error: Exception) -> str:
    """What went wrong with `get_token`, and where; not the application's words, which may have a secret in them."""
    if isinstance(error, UnusableTokenError):
        return str(error)
    where = traceback.extract_tb(error.__traceback__)[-1:]
    places = "".join(f" in {frame.filename.rsplit('/', 1)[-1]}, line {frame.lineno}" for frame in where)
    return f"get_token raised {error.__class__.__name__}{places}"


class Tokens:
    """Asks the application for a token only when the one at hand is missing, expired or refused."""

    def __init__(self, get_token: GetToken, clock: Callable[[], float] = time.time) -> None:
        if not callable(get_token):
            raise TypeError(f"get_token is a function that returns a token, not {get_token.__class__.__name__}")
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
                if doubt := self.doubt():
                    # It is tried all the same: the clock may be wrong, and the gateway knows.
                    _LOG.warning("%s", doubt)
            return self._token

    async def renew(self) -> str:
        """A new token, which is not the one at hand before it is kept."""
        async with self._one_at_a_time:
            return await self._ask()

    async def _ask(self) -> str:
        found = self._get_token()
        if not inspect.isawaitable(found):
            return checked(found)
        asking = asyncio.ensure_future(found)
        try:
            # `wait` ends with its caller even where the application does not let itself be cancelled: who has gone away
            # meanwhile never sees the token.
            await asyncio.wait({asking})
        finally:
            asking.cancel()
        return checked(asking.result())

    def keep(self, token: str) -> None:
        self._token = token

    def remaining(self, token: str) -> float:
        """Seconds that `token` is still good for."""
        expires = expiry(token)
        return float("inf") if expires is None else expires - self._clock()

    def doubt(self) -> str:
        """Why the token at hand may be refused, as far as it can be read."""
        late = 0.0 if self._token is None else -self.remaining(self._token)
        return f"the token expired {late:,.0f} s ago by the clock of this machine" if late > 0 else ""

    def refused(self) -> bool:
        """The gateway took the token for a bad one; whether another one is worth a try: once."""
        again = not self._last_chance
        self._last_chance, self._token = True, None
        return again

    def accepted(self) -> None:
        """A connection lived with the token at hand."""
        self._last_chance = False
