"""Gives each tab of the demo page a person of its own, in development: the first one is alice, the next one is bob."""

import hmac
from collections.abc import Callable
from typing import Final

from aiohttp import web

from forestay.web.answers import Answer, only

NAMES: Final = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mallory", "peggy")

# Bytes of a request. A key and a name are shorter.
_LONGEST: Final = 1000
_LONGEST_NAME: Final = 100
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Guests:
    """Mints a token for each tab that shows the key of the printed link.

    The answers have no CORS headers, so pages of other origins cannot read them, and without the key they are useless
    to other programs of this machine.
    """

    def __init__(self, key: str, mint: Callable[[str], str]) -> None:
        """`key`: what the printed link has. `mint`: returns the token of a user, or raises ValueError."""
        self.key = key
        self.mint = mint
        self._came = 0
        self.answer: Answer = only(("POST",), self._answer)
        """Answers `POST` with the key as its body, and a token. `?user=` asks for the same person again."""

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        shown = await request.content.read(_LONGEST)
        if not hmac.compare_digest(shown, self.key.encode()):
            reason = "this link is of another gateway; open the one that this gateway has printed"
            return web.Response(status=403, text=reason, headers=_HEADERS)
        user = request.query.get("user", "")[:_LONGEST_NAME] or self._next()
        try:
            return web.Response(text=self.mint(user), headers=_HEADERS)
        except ValueError as error:
            return web.Response(status=400, text=str(error), headers=_HEADERS)

    def _next(self) -> str:
        number = self._came
        self._came += 1
        return NAMES[number] if number < len(NAMES) else f"guest-{number + 1}"
