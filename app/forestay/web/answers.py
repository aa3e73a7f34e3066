"""What the handlers of files have in common: their type, the methods that they take, and the type of a file."""

import mimetypes
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

READING: Final = ("GET", "HEAD")
"""The methods of a file."""


def only(methods: tuple[str, ...], answer: Answer) -> Answer:
    """Returns a handler that answers requests with one of `methods`, and others with 405."""

    async def checked(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in methods:
            return web.Response(status=405, headers={"Allow": ", ".join(methods)})
        return await answer(request)

    return checked


def content_type(name: str) -> str:
    """The `Content-Type` of a file by its name. Text is UTF-8."""
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    # Browsers show plain text, and offer to save Markdown.
    kind = "text/plain" if name.endswith(".md") else guessed
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
