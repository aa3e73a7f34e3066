"""Serves the demo page: plain files, read once at the start."""

import mimetypes
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from aiohttp import web

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    # For this origin only: from it the gateway knows the page that asks why it may not connect.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def demo_answers(prefix: str = "") -> dict[str, Answer]:
    """Returns the handlers of the demo page by path: the page at `/` and its files at `/demo/…`.

    `prefix`: the path in front of them. The page finds its files and the gateway by their paths relative to its own, so
    `prefix` without a slash leads to the page.
    """
    answers: dict[str, Answer] = {}
    for file in files("forestay.web").joinpath("demo").iterdir():
        if file.is_file():
            answer = _file(file.name, file.read_bytes())
            answers[f"{prefix}/demo/{file.name}"] = answer
            if file.name == "index.html":
                answers[f"{prefix}/"] = answer
    if prefix:
        answers[prefix] = _redirect(f"{prefix}/")
    return answers


def _redirect(target: str) -> Answer:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=308, headers={"Location": target})

    return answer


def _file(name: str, body: bytes) -> Answer:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    charset = "utf-8" if kind.startswith("text/") else None

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        return web.Response(body=body, content_type=kind, charset=charset, headers=_HEADERS)

    return answer
