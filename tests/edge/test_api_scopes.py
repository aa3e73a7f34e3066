"""Each key may use each path exactly where the page about the HTTP API says so, and each path says its methods."""

import itertools
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from forestay.core.rules.scopes import Scope
from tests.support.gateway import API_KEY, JSON, Gateway, call, gateway
from tests.support.repository import codes, rows

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
MINE, FOREIGN = "mine.a", "other.a"
PATTERNS: Final[Sequence[Sequence[str]]] = (("**", "@me"), ("**",), ("@me",), ("mine.*",), ("mine.*", "@me"))
"""Where a key has its scope: everywhere, in all rooms, for all users, in some rooms, and there and for all users."""
BODIES: Final = {
    ("/v1/rooms/{room}/messages", "POST"): '{"payload": 1}',
    ("/v1/users/{user}/messages", "POST"): '{"payload": 1}',
    ("/v1/publish", "POST"): '{"rooms": ["ROOM"], "payload": 1}',
    ("/v1/revocations", "POST"): '{"user": "nobody"}',
    ("/v1/pods/{pod}/shed", "POST"): '{"share": 0.5}',
}
NAMES: Final = {"{user}": "nobody", "{id}": "0.1-0", "{pod}": "nothing"}
"""What stands for each name in a path. There is no such dead letter, connection or pod, which is 404."""
ROOMS: Final = '[[rooms]]\npattern = "**"\npresence = true\n[rooms.history]\nsize = 10\nttl = 60\n'


def needs() -> dict[tuple[str, str], tuple[str, list[str]]]:
    """The scope that each path and method of the page needs, `any` for none, and the patterns, empty for the room."""
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for cell, methods, _, scope in rows("docs/http-api.md", "Path"):
        words = codes(scope) or [scope]
        for path, method in itertools.product(codes(cell), methods.split(", ")):
            found[path, method] = (words[0], words[1:])
    return found


def allowed(need: tuple[str, list[str]], scope: Scope, patterns: Sequence[str], room: str) -> bool:
    """Whether a key that has `scope` in `patterns` may do what needs `need`, about `room`."""
    wanted, places = need
    if wanted == "any":
        return True
    if wanted != scope:
        return False
    return set(places) <= set(patterns) if places else "**" in patterns or ("mine.*" in patterns and room == MINE)


def key_of(scope: Scope, patterns: Sequence[str]) -> str:
    return f"the key for {scope} in {' and '.join(patterns)}"


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway that knows a key for each scope and each list of patterns."""
    tables = [
        f'[[keys]]\nname = "k{number}"\nsha256 = "{sha256(key_of(scope, patterns).encode()).hexdigest()}"\n'
        f"scopes = {{ {scope} = {list(patterns)} }}\n"
        for number, (scope, patterns) in enumerate(itertools.product(Scope, PATTERNS))
    ]
    (tmp_path / "keys.toml").write_text("\n".join(tables))
    (tmp_path / "rooms.toml").write_text(ROOMS)
    async with gateway(api_keys_file=tmp_path / "keys.toml", rooms_file=str(tmp_path / "rooms.toml")) as running:
        yield running


async def outcome(pod: Gateway, path: str, method: str, room: str, key: str) -> tuple[int, str | None]:
    """The status and the code of one request about `room`. What was refused in a batch counts as the answer."""
    url = path.replace("{room}", room) + ("?seconds=0" if path.endswith("/watch") else "")
    for name, value in NAMES.items():
        url = url.replace(name, value)
    body = BODIES.get((path, method))
    data = None if body is None else body.replace("ROOM", room).encode()
    answer: Any
    status, answer = await call(pod, method, url, data, JSON | {"Authorization": f"Bearer {key}"})
    for one in answer.get("results", ()):
        if "code" in one:
            return 403, one["code"]
    return status, answer.get("code")


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("patterns", PATTERNS, ids=" ".join)
async def test_each_key_may_do_what_the_page_says(pod: Gateway, scope: Scope, patterns: Sequence[str]) -> None:
    """And nothing else: on every path, with every method, in rooms that its patterns match and in others."""
    needed = needs()
    routes = [(path, method) for path, handlers in pod.running.api.paths.items() for method in handlers]
    assert set(needed) == set(routes)
    wrong = []
    for (path, method), room in itertools.product(routes, (MINE, FOREIGN)):
        status, code = await outcome(pod, path, method, room, key_of(scope, patterns))
        if allowed(needed[path, method], scope, patterns, room):
            right = status in (200, 202) or (status == 404 and ("{id}" in path or "{pod}" in path))
        else:
            right = (status, code) == (403, "forbidden")
        if not right:
            wrong.append((method, path, room, status, code))
    assert wrong == []


async def test_no_path_answers_without_a_known_key(pod: Gateway) -> None:
    """With 401, whatever the method is, and with the scheme that is wanted."""
    for path, method in itertools.product([*pod.running.api.paths, "/v1/nothing"], METHODS):
        for headers in ({}, {"Authorization": "Bearer unknown"}, {"Authorization": "Basic dTpw"}):
            async with aiohttp.request(method, pod.internal + path, headers=headers) as answer:
                assert (path, method, answer.status) == (path, method, 401)
                assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_of_two_keys_none_counts(pod: Gateway) -> None:
    """Whichever comes first. The same key twice is one."""
    good, bad = ("Authorization", f"Bearer {API_KEY}"), ("Authorization", "Bearer another key")
    for lines, status in (([good, bad], 401), ([bad, good], 401), ([good, good], 200)):
        async with aiohttp.request("GET", f"{pod.internal}/v1/rooms", headers=lines) as answer:
            assert answer.status == status


async def test_what_can_be_read_has_a_head(pod: Gateway) -> None:
    """HEAD has the status and the length of the GET, and no body."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    for path in [path for path, handlers in pod.running.api.paths.items() if "GET" in handlers]:
        url = pod.internal + path.replace("{room}", MINE).replace("{user}", "nobody") + "?seconds=0"
        async with (
            aiohttp.request("GET", url, headers=headers) as got,
            aiohttp.request("HEAD", url, headers=headers) as head,
        ):
            assert (path, head.status) == (path, got.status)
            # How the pod is changes from one request to the next.
            assert head.content_length == got.content_length or path == "/v1/info"
            assert await head.read() == b""


async def test_each_path_names_its_methods(pod: Gateway) -> None:
    """Another method is 405 with `Allow`, for each key that is known, and changes nothing."""
    headers = {"Authorization": f"Bearer {key_of(Scope.PUBLISH, ('mine.*',))}"}
    for path, handlers in pod.running.api.paths.items():
        there = {*handlers, "HEAD"} if "GET" in handlers else set(handlers)
        for method in set(METHODS) - there:
            async with aiohttp.request(method, pod.internal + path, headers=headers) as answer:
                assert (path, method, answer.status) == (path, method, 405)
                assert set(answer.headers["Allow"].split(", ")) == there
                if method != "HEAD":
                    assert (await answer.json(content_type="application/problem+json"))["code"] == "not_found"
