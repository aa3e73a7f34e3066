"""No command prints a token, a password of a URL or a traceback, whatever fails."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.clients.python.refusing import Refusing, answer, problem, refusing
from tests.support.process import Program

CANARY = "CANARY-7f3c9e51d2"
VERBS = {
    "send": ["send", "chat.a", "x", "--timeout", "1s", "--url"],
    "join": ["join", "chat.a", "--timeout", "1s", "--url"],
    "tail": ["tail", "chat.a", "--timeout", "1s", "--url"],
    "load": ["load", "--room", "chat.a", "--connections", "1", "--seconds", "1s", "--url"],
    "ping": ["ping", "--room", "chat.a", "--timeout", "1s"],
    "ping --url": ["ping", "--room", "chat.a", "--timeout", "1s", "--url"],
}
URLS = [
    f"ws://user:{CANARY}@127.0.0.1:9/ws?access_token={CANARY}",
    f"http://user:{CANARY}@127.0.0.1:9/ws?access_token={CANARY}",
    f"ws://127.0.0.1:{CANARY}/ws",
    f"ws://user:{CANARY}@no-such-host.invalid/ws",
    CANARY,
]
ANSWERS = [
    problem(401, "bad_token", "the token is for another audience"),
    problem(503, "unavailable", "the pod is full"),
    answer(404, "<html>"),
    b"-ERR unknown command\r\n",
    b"",
]

pytestmark = pytest.mark.timeout(240)


# Many runs in one process: most of a command's time is its start.
DRIVER = """
import contextlib, io, json, logging, os, sys, traceback
from forestay.cli import main

for line in sys.stdin:
    arguments, os.environ["FORESTAY_TOKEN"] = json.loads(line)
    status, words = 0, io.StringIO()
    logging.root.handlers.clear()
    with contextlib.redirect_stderr(words), contextlib.redirect_stdout(words):
        try:
            main(arguments)
        except SystemExit as exit:
            status = exit.code
        except BaseException:
            traceback.print_exc()
    print(json.dumps([status, words.getvalue()]), flush=True)
"""


async def failed(*runs: tuple[list[str], str]) -> list[str]:
    """What a command prints while it fails, for each of these arguments and tokens."""
    process = await Program((sys.executable, "-c", DRIVER)).start()
    lines = "".join(json.dumps(run) + "\n" for run in runs)
    out, error = await process.communicate(lines.encode())
    assert error == b""
    ended = [json.loads(line) for line in out.splitlines()]
    assert len(ended) == len(runs)
    for status, words in ended:
        assert status in (1, 2)
        assert "Traceback" not in words
        assert CANARY not in words
    return [words for _, words in ended]


@pytest.fixture
async def servers() -> AsyncIterator[list[Refusing]]:
    """A server for each of the answers."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(refusing(one)) for one in ANSWERS]


@pytest.mark.parametrize("verb", VERBS)
async def test_a_url_is_printed_without_its_secrets(verb: str) -> None:
    """A URL with a password or a token is shown without them, if it can be read, and not at all if it cannot."""
    await failed(*(([*VERBS[verb], url], "token") for url in URLS))


@pytest.mark.parametrize("verb", VERBS)
async def test_a_token_is_never_printed(verb: str, servers: list[Refusing]) -> None:
    """A token that no header can hold is refused without its words, and so is one that a server refuses."""
    tokens = [f"{CANARY}\nX-Evil: 1", f"{CANARY} {CANARY}", f"{CANARY}é", f"\x1b{CANARY}"]
    for error in await failed(*(([*VERBS[verb], servers[0].url], one) for one in tokens)):
        assert "the token contains" in error
    assert servers[0].requests == []
    bad, full, *_ = await failed(*(([*VERBS[verb], server.url], f" {CANARY}\n") for server in servers))
    assert "401" in bad
    assert "the token is for another audience" in bad
    assert "503" in full
    assert "the pod is full" in full


async def test_a_slip_of_the_finger_prints_no_secret() -> None:
    """An option that does not exist is named without the value that was meant for it."""
    slips = [["--tokne", CANARY], [f"--tokne={CANARY}"], [f"--t={CANARY}"], [CANARY]]
    for words in await failed(*((["send", "chat.a", "x", *slip], "token") for slip in slips)):
        assert "usage" in words
