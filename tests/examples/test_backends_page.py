"""The programs of docs/backends.md work as printed."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import pytest

from examples.__main__ import listens
from tests.support.example import FOLDER, UNREACHABLE, installed
from tests.support.gateway import API_KEY, SECRET, Client, Gateway, gateway
from tests.support.local_redis import free_port
from tests.support.node import environment, node
from tests.support.repository import blocks
from tests.support.webhook_receiver import SECRET as KEY

pytestmark = pytest.mark.timeout(120)

LANGUAGES: Final = ["python", "js"]
ROOMS: Final = """
[[rooms]]
pattern = "news.**"
[rooms.history]
size = 10
ttl = 60
"""
ASKED: Final = """
[[rooms]]
pattern = "asked.*"
hooks = ["broadcast"]
"""
TOLD: Final = """
[[rooms]]
pattern = "told.*"
webhooks = ["message"]
"""


class Receiving(NamedTuple):
    """A server of the page that runs."""

    url: str
    output: asyncio.StreamReader


def program(language: str, section: str) -> str:
    """The one program in this language in a section of the page."""
    [found] = blocks("docs/backends.md", language, section)
    return found


async def command(language: str, section: str, folder: Path) -> list[str]:
    """What runs the program in `folder`. The packages are those of the examples."""
    text = program(language, section)
    if language == "go":
        go = shutil.which("go")
        if go is None:
            pytest.skip("no go on PATH")
        shutil.copytree(Path(__file__).with_name("go"), folder, dirs_exist_ok=True)
        (folder / "main.go").write_text(text, encoding="utf-8")
        return [go, "run", "."]
    if language == "js":
        await installed(FOLDER / "orders" / "express")
        (folder / "node_modules").symlink_to(FOLDER / "orders" / "express" / "node_modules")
        (folder / "program.mjs").write_text(text, encoding="utf-8")
        return [str(node()), "program.mjs"]
    (folder / "program.py").write_text(text, encoding="utf-8")
    return [sys.executable, "program.py"]


@asynccontextmanager
async def running(command: list[str], folder: Path, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment() | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # The Node of this environment is a launcher with a child.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
        await process.communicate()


async def output(command: list[str], folder: Path, **variables: str) -> str:
    async with running(command, folder, **variables) as process:
        text, _ = await process.communicate()
    told = text.decode()
    if process.returncode and any(code in told for code in (*UNREACHABLE, "dial tcp", "no such host")):
        pytest.skip("the proxy of Go modules cannot be reached")
    assert process.returncode == 0, told
    return told


@asynccontextmanager
async def pod(folder: Path, rooms: str = ROOMS, **settings: object) -> AsyncIterator[Gateway]:
    (folder / "rooms.toml").write_text(rooms, encoding="utf-8")
    async with gateway(rooms_file=str(folder / "rooms.toml"), **settings) as found:
        yield found


@pytest.mark.parametrize("language", [*LANGUAGES, "go"])
async def test_a_token_says_who_may_do_what(language: str, tmp_path: Path) -> None:
    """The token that is printed opens a connection for its user, with the rights that it names and no others."""
    bearer = (await output(await command(language, "Tokens", tmp_path), tmp_path, FORESTAY_JWT_SECRET=SECRET)).strip()
    async with pod(tmp_path) as found:
        client = await Client.open(found.port, bearer)
        assert (await client.hear("welcome"))["payload"]["user"] == "alice"
        for sentence, answer in (
            ({"type": "broadcast", "room": "chat.a", "payload": 1, "id": "1"}, "ack"),
            ({"type": "history", "room": "news.de", "id": "2"}, "history"),
            ({"type": "broadcast", "room": "news.de", "payload": 1, "id": "3"}, "error"),
            ({"type": "join", "room": "other", "id": "4"}, "error"),
        ):
            await client.say(sentence)
            assert (await client.hear())["type"] == answer, sentence
        await client.close()


@pytest.mark.parametrize("language", [*LANGUAGES, "go"])
def test_a_token_takes_ten_lines(language: str) -> None:
    """The function that makes a token has at most ten lines."""
    lines = program(language, "Tokens").splitlines()
    start = next(number for number, line in enumerate(lines) if re.match(r"(def|func|function) token", line))
    body = lines[start : next(number for number in range(start + 1, len(lines)) if not lines[number].strip())]
    assert 3 <= len(body) <= 10


@pytest.mark.parametrize("language", [*LANGUAGES, "go"])
async def test_a_message_is_published_once(language: str, tmp_path: Path) -> None:
    """Run twice, as after an answer that did not come, the program publishes one message."""
    start = await command(language, "Publishing", tmp_path)
    async with pod(tmp_path) as found:
        alice = await found.join("alice", "news.de")
        for _ in "12":
            await output(start, tmp_path, FORESTAY_API=f"{found.internal}/v1", FORESTAY_API_KEY=API_KEY)
        heard = await alice.hear("broadcast")
        assert (heard["payload"], heard["offset"]) == ({"title": "It rains"}, 1)
        assert await alice.silent()


@asynccontextmanager
async def receiver(language: str, section: str, folder: Path, **keys: str) -> AsyncIterator[Receiving]:
    """Runs the server of a section, until the block ends."""
    start, port = await command(language, section, folder), free_port()
    if language == "python":
        start = [sys.executable, "-m", "uvicorn", "program:app", "--port", str(port), "--log-level", "warning"]
    async with running(start, folder, PORT=str(port), **keys) as process:
        async with asyncio.timeout(30):
            await listens(port)
        assert process.stdout is not None
        yield Receiving(f"http://127.0.0.1:{port}", process.stdout)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_webhook_is_heard(language: str, tmp_path: Path) -> None:
    """The receiver prints the event of a message, once it has verified it."""
    async with (
        receiver(language, "Webhooks", tmp_path, FORESTAY_WEBHOOKS_SECRET=KEY) as found,
        pod(tmp_path, TOLD, webhooks_url=f"{found.url}/webhooks", webhooks_secret=KEY) as telling,
    ):
        alice = await telling.join("alice", "told.a")
        await alice.say({"type": "broadcast", "room": "told.a", "payload": "hello"})
        printed = (await found.output.readline()).decode()
        assert printed.startswith("message ")
        assert "hello" in printed


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_hook_decides(language: str, tmp_path: Path) -> None:
    """It lets a message pass, refuses one with a link, and answers a call; a request without a signature gets 401."""
    async with (
        receiver(language, "Hooks", tmp_path, FORESTAY_HOOKS_SECRET=KEY) as found,
        pod(tmp_path, ASKED, hooks_url=f"{found.url}/hooks", hooks_secret=KEY) as asking,
    ):
        alice = await asking.join("alice", "asked.a")
        said = {"type": "broadcast", "room": "asked.a", "echo": False, "id": "1"}
        assert (await alice.ask({**said, "payload": {"text": "hello"}}))["type"] == "ack"
        refused = (await alice.ask({**said, "payload": {"text": "http://example.com"}}))["payload"]
        assert (refused["code"], refused["reason"]) == ("refused_by_application", "no_links")
        answer = await alice.ask({"type": "call", "method": "greet", "id": "2"})
        assert (answer["type"], answer["payload"]) == ("result", "hello alice")
        assert (await alice.ask({"type": "call", "method": "x", "id": "3"}))["payload"]["reason"] == "no_method"
        async with aiohttp.request("POST", f"{found.url}/hooks", json={"type": "join", "data": {}}) as response:
            assert response.status == 401
