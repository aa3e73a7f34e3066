"""Serves the demo page and the operators' page: plain files, read once at the start."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Final

from aiohttp import web

from forestay.web.answers import READING, Answer, content_type, only

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    # For this origin only: from it the gateway knows the page that asks why it may not connect.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

_OPS_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

_OPS_SHARED: Final = ("theme.css", "base.css", "logo.svg", "dom.js", "words.js", "closes.js", "forestay.js")
"""What the operators' page takes from the demo page."""

# The link to the documentation, which not every gateway has.
_HIDDEN_DOCS: Final = b'id="docs" href="docs/" hidden'
_DOCS: Final = b'id="docs" href="docs/"'


def demo_answers(prefix: str = "", *, docs: bool = False) -> dict[str, Answer]:
    """Returns the handlers of the demo page by path: the page at `/` and its files at `/demo/…`.

    `prefix`: the path in front of them. The page finds its files and the gateway by their paths relative to its own, so
    `prefix` without a slash leads to the page. `docs`: whether there is documentation beside it, at `/docs/`.
    """
    answers = _folder("demo", prefix, _HEADERS)
    page = files("forestay.web").joinpath("demo", "index.html").read_bytes()
    shown = _file("index.html", page.replace(_HIDDEN_DOCS, _DOCS) if docs else page, _HEADERS)
    answers[f"{prefix}/"] = answers[f"{prefix}/demo/index.html"] = shown
    if prefix:
        answers[prefix] = _redirect(f"{prefix}/")
    return answers


def ops_routes() -> Sequence[web.AbstractRouteDef]:
    """Returns the routes of the operators' page: the page at `/ops` and its files at `/ops/…`.

    The page finds its files and the API by their paths relative to its own, so something in front may add a prefix.
    """
    answers = _folder("ops", "", _OPS_HEADERS)
    for name in _OPS_SHARED:
        answers[f"/ops/{name}"] = _file(name, files("forestay.web").joinpath("demo", name).read_bytes(), _OPS_HEADERS)
    page = _with_modules(files("forestay.web").joinpath("ops", "index.html").read_bytes(), answers)
    answers["/ops"] = answers["/ops/index.html"] = _file("index.html", page, _OPS_HEADERS)
    answers["/ops/"] = _redirect("../ops")
    return [web.route("*", path, answer) for path, answer in answers.items()]


def _with_modules(page: bytes, paths: Iterable[str]) -> bytes:
    """`page` with all its modules named in its head, so that a browser asks for them at once.

    It finds each of them only in the one that imports it, and would wait for the gateway as often as they are nested.
    """
    names = sorted(path.encode()[1:] for path in paths if path.endswith(".js"))
    links = b"".join(b'<link rel="modulepreload" href="%b">\n    ' % name for name in names)
    head, script, rest = page.partition(b"<script")
    return head + links + script + rest


def _folder(name: str, prefix: str, headers: Mapping[str, str]) -> dict[str, Answer]:
    return {
        f"{prefix}/{name}/{file.name}": _file(file.name, file.read_bytes(), headers)
        for file in files("forestay.web").joinpath(name).iterdir()
        if file.is_file()
    }


def _redirect(target: str) -> Answer:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=308, headers={"Location": target})

    return answer


def _file(name: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    typed = {**headers, "Content-Type": content_type(name)}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, headers=typed)

    return only(READING, answer)
