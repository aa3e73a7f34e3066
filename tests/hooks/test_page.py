"""What docs/hooks.md shows works as it says: the module, its rooms, and the test of the module."""

import asyncio
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import yaml

from forestay.core.ports.hooks import ANSWERS, FAILURES
from forestay.core.rules.hooks import Hook
from tests.support.chart import READY, chart
from tests.support.gateway import Gateway, call, gateway, token, upgrade
from tests.support.repository import blocks, codes, rows
from tests.support.streams import Stream

PAGE: Final = "docs/hooks.md"
TEAM: Final = {"rooms": {"**": "rw"}, "teams": ["red"]}


def block(language: str, first: str) -> str:
    """The code of the page in this language that begins so."""
    [text] = [each for each in blocks(PAGE, language) if each.startswith(first)]
    return text


@pytest.fixture
def module(tmp_path: Path) -> Path:
    file = tmp_path / "hooks.py"
    file.write_text(block("python", "# hooks.py"))
    return file


@asynccontextmanager
async def asking(module: Path, **given: object) -> AsyncIterator[Gateway]:
    rooms = module.with_name("rooms.toml")
    rooms.write_text(block("toml", "[[rooms]]"))
    async with gateway(hooks_module=str(module), rooms_file=str(rooms), **given) as running:
        yield running


async def test_a_connect_is_refused_with_403(module: Path) -> None:
    """On a WebSocket and an event stream alike: problem details with the application's code."""
    async with asking(module) as running, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {token('mallory')}"}
        async with session.get(f"http://127.0.0.1:{running.port}/stream?room=free", headers=headers) as response:
            streamed = (response.status, await response.json())
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(upgrade(token("mallory")))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert (head.split()[1], streamed[0]) == (b"403", 403)
    for text in (body.decode(), str(streamed[1])):
        assert "refused_by_application" in text
        assert "banned" in text
    assert streamed[1]["reason"] == "banned"
    assert streamed[1]["detail"] == "this account is banned"


async def test_a_client_that_only_asks_hears_the_same(module: Path) -> None:
    """A browser sees no more than 1006, so its client asks why. It counts as no connection."""
    async with asking(module) as running, aiohttp.ClientSession() as session:
        heard = []
        for user in ("mallory", "alice"):
            headers = {"Authorization": f"Bearer {token(user)}"}
            async with session.get(f"http://127.0.0.1:{running.port}/ws", headers=headers) as response:
                heard.append((response.status, (await response.json()).get("reason")))
        assert heard == [(403, "banned"), (426, None)]
        client = await running.connect("bob", rooms={})
        for _ in range(2):
            await client.hear("joined")
        await client.say({"type": "call", "id": "1", "method": "online"})
        assert (await client.hear("result"))["payload"] == {"users": ["bob"]}


async def test_a_client_is_put_into_rooms_when_it_connects(module: Path) -> None:
    """It hears `joined` for each, though its token allows none of them."""
    async with asking(module) as running:
        client = await running.connect("alice", rooms={})
        joined = [await client.hear("joined") for _ in range(2)]
        assert {each["room"] for each in joined} == {"news", "@me"}
        status, _ = await call(running, "POST", "/v1/rooms/news/messages", b'{"payload":"hello"}')
        assert status == 200
        assert (await client.hear("broadcast"))["payload"] == "hello"


async def test_the_rules_of_the_module_hold(module: Path) -> None:
    """Join, broadcast, replace, and call, as the page writes them."""
    async with asking(module) as running:
        client = await running.connect("alice", **TEAM)
        for _ in range(2):
            await client.hear("joined")
        await client.say({"type": "join", "room": "team.blue", "id": "1"})
        error = await client.hear("error")
        assert (error["payload"]["code"], error["payload"]["reason"]) == ("refused_by_application", "no_member")
        await client.say({"type": "join", "room": "team.red"})
        await client.hear("joined")
        await client.say({"type": "broadcast", "room": "team.red", "payload": {"text": "damn", "n": 1}})
        assert (await client.hear("broadcast"))["payload"] == {"text": "****", "n": 1}
        await client.say({"type": "broadcast", "room": "team.red", "payload": {"text": "x" * 501}})
        assert (await client.hear("error"))["payload"]["reason"] == "too_long"
        await client.say({"type": "call", "id": "2", "method": "online"})
        assert (await client.hear("result"))["payload"] == {"users": ["alice"]}


async def test_a_single_request_over_http_is_asked_about(module: Path) -> None:
    """The same refusal as problem details, and the same replacement."""
    async with asking(module) as running:
        url, bearer = f"http://127.0.0.1:{running.port}/rooms/team.red/messages", token("alice", **TEAM)
        headers = {"Authorization": f"Bearer {bearer}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(url, json={"payload": {"text": "x" * 501}}) as response:
                refused = (response.status, await response.json())
            async with session.post(url, json={"payload": {"text": "fine"}}) as response:
                assert response.status == 200
    assert refused[0] == 403
    assert refused[1]["reason"] == "too_long"


async def test_a_stream_is_asked_about_its_rooms(module: Path) -> None:
    """It hears an error for the room that it may not enter, and gets the others."""
    async with asking(module) as running:
        stream = await Stream.open(running, token("alice", **TEAM), "team.blue", "team.red")
        kinds = [(await stream.hear())["type"] for _ in range(5)]
        assert sorted(kinds) == ["error", "joined", "joined", "joined", "welcome"]


@pytest.mark.parametrize(
    ("values", "named", "image"),
    [
        ("# hooks.yaml", "/etc/forestay/hooks/hooks.py", "forestay:"),
        ("# image.yaml", "/opt/hooks/hooks.py", "forestay-hooks:1"),
    ],
)
def test_the_values_of_the_page_bring_the_module_and_its_rooms(values: str, named: str, image: str) -> None:
    """Both ways into a cluster name the module where it lies, and ask it about the rooms of the page's own policy."""
    rendered = chart(READY, **yaml.safe_load(block("yaml", values)))
    assert rendered.environment["FORESTAY_HOOKS_MODULE"] == named
    assert rendered.gateway["image"].startswith(image)
    rooms = tomllib.loads(rendered.one("ConfigMap", "-rooms")["data"]["rooms.toml"])["rooms"]
    assert rooms == tomllib.loads(block("toml", "[[rooms]]"))["rooms"]


def test_the_test_of_the_page_is_green(module: Path) -> None:
    """It runs beside the module, with pytest alone."""
    test = module.with_name("test_hooks.py")
    test.write_text(block("python", "# test_hooks.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    done = subprocess.run(command, cwd=module.parent, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_table_of_events_has_each_hook_with_its_answers() -> None:
    """In the words of the module."""
    table = {codes(row[0])[0]: row[3] for row in rows(PAGE, "Hook") if codes(row[0])}
    assert set(table) == set(Hook)
    for hook, answers in ANSWERS.items():
        assert {name.partition("(")[0] for name in codes(table[hook])} == {answer.__name__ for answer in answers}


def test_each_reason_of_a_failure_is_on_a_page() -> None:
    """docs/operating.md has them all with the metric."""
    [row] = [row for row in rows("docs/operating.md") if "forestay_hooks_total" in row[0]]
    assert set(FAILURES) <= set(codes(row[2]))
