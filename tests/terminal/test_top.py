"""`forestay top` shows all pods, and says what is wrong where it cannot."""

import asyncio
import os
import ssl
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trustme
from aiohttp import web

from forestay.terminal.failed import Failed
from forestay.terminal.top import Asked
from forestay.terminal.top_view import lines, table
from tests.support.gateway import API_KEY, SECRET, Gateway, gateway
from tests.support.process import forestay

# A process takes half a second of CPU before its first line, and longer on a busy machine.
pytestmark = pytest.mark.timeout(240)

POD = {
    "pod": "p1",
    "host": "h1",
    "version": "9.9.9",
    "state": "ready",
    "connections": 4112,
    "bus": {"kind": "redis", "up": True, "round_trip_ms": 0.41},
}
QUIET: dict[str, Any] = {
    "rooms": {"rooms": [], "by": "members", "seconds": 0, "exact": True, "complete": True},
    "slow": {"connections": [], "complete": True},
    "closes": {"minutes": [], "complete": True},
    "recent": {"recent": [], "complete": True},
}


@pytest.fixture
async def pod() -> AsyncIterator[Gateway]:
    async with gateway() as running:
        yield running


def picture(**changed: Any) -> str:
    info = {"pods": [POD], "connections": 4112, "complete": True}
    return "\n".join(lines({"info": info} | QUIET | changed, "http://pod", "members", 0.0))


async def test_one_picture_is_printed_on_a_pipe(pod: Gateway) -> None:
    """The pods, the rooms with their members, and what has happened; then the command ends."""
    await pod.join("alice", "chat.lobby")
    refused = await pod.connect("bob", rooms={})
    await refused.ask({"type": "join", "room": "secret"})
    status, out, err = await forestay("top", "--url", pod.internal, FORESTAY_API_KEY=API_KEY)
    assert (status, err) == (0, "")
    shown = out.splitlines()
    assert "pods 1  connections 2 of" in shown[0]
    [row] = [line.split() for line in shown if line.startswith(pod.running._pod.pods.me)]
    assert row[3:5] == ["ready", "2"]
    assert ["chat.lobby", "1", "0", "0"] in [line.split() for line in shown]
    assert any("refused" in line and "bob secret forbidden" in line for line in shown)
    assert "\x1b" not in out


@pytest.mark.parametrize(
    "arguments",
    [("top", "--once"), ("token", "--user", "alice"), ("doctor", "--timeout", "1"), ("--help",)],
    ids=lambda arguments: arguments[0],
)
async def test_a_reader_that_has_ended_is_no_error(pod: Gateway, arguments: tuple[str, ...]) -> None:
    """As with `| head -1`: what cannot be printed any more is no traceback, and the exit status stays."""
    read, write = os.pipe()
    os.close(read)
    environ = {"FORESTAY_API_KEY": API_KEY, "FORESTAY_URL": pod.internal, "FORESTAY_JWT_SECRET": SECRET}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "forestay", *arguments, stdout=write, stderr=PIPE, env=os.environ | environ
    )
    os.close(write)
    _, error = await process.communicate()
    assert (process.returncode, error.decode()) == (0, "")


@pytest.mark.parametrize(
    ("options", "variables", "message"),
    [
        ((), {}, "there is no key: set FORESTAY_API_KEY"),
        (("--url", "ws://localhost:8080/ws"), {"FORESTAY_API_KEY": API_KEY}, "top asks the internal port over HTTP"),
        ((), {"FORESTAY_API_KEY": "x" * 40}, "the API key is unknown"),
        (("--url", "http://127.0.0.1:1"), {"FORESTAY_API_KEY": API_KEY}, "no answer: connection refused; "),
        ((), {"FORESTAY_API_KEY": API_KEY, "FORESTAY_URL": "HTTP://127.0.0.1:1"}, "http://127.0.0.1:1: no answer"),
        (("--url", "http://u:secret@127.0.0.1:1"), {"FORESTAY_API_KEY": API_KEY}, "the URL cannot be read"),
        (("--every", "0"), {"FORESTAY_API_KEY": API_KEY}, "--every must be at least 0.1s"),
    ],
)
async def test_what_is_wrong_is_one_line(
    pod: Gateway, options: tuple[str, ...], variables: dict[str, str], message: str
) -> None:
    """A missing key, a wrong key, a wrong address: without the key, and with a status that is not 0."""
    given = options if "--url" in options or "FORESTAY_URL" in variables else (*options, "--url", pod.internal)
    status, out, err = await forestay("top", *given, **variables)
    assert status != 0
    assert (out, err.count("\n"), message in err) == ("", 1, True), err
    assert not [key for key in (variables.get("FORESTAY_API_KEY", "none"), "secret@") if key in err]


async def test_what_is_no_tls_and_what_is_not_trusted_is_told(pod: Gateway) -> None:
    """A port without TLS, a certificate of an authority that this machine does not know, and what is no HTTP."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR unknown command\r\n")
        writer.close()

    told = {pod.internal.replace("http", "https"): "no TLS at this address"}
    async with AsyncExitStack() as stack:
        for scheme, tls, words in (("https", context, "the certificate"), ("http", None, "is not HTTP")):
            server = await stack.enter_async_context(await asyncio.start_server(greet, "127.0.0.1", 0, ssl=tls))
            told[f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"] = words
        for url, words in told.items():
            with pytest.raises(Failed, match=words):
                await Asked(url, API_KEY).picture("members")


async def test_the_public_port_is_known_by_its_answer(pod: Gateway) -> None:
    """Its 404 is told from that of the API."""
    with pytest.raises(Failed, match="no internal port of a gateway; it is usually 9090"):
        await Asked(f"http://127.0.0.1:{pod.port}", API_KEY).picture("members")


async def test_only_a_missing_path_means_an_older_release() -> None:
    """What the API refuses is told in its words, and the failure of a proxy with its status."""
    answers = {
        "info": (200, {"pods": [POD], "connections": 4112, "complete": True}),
        "rooms": (504, {"detail": "not all pods answered"}),
        "slow": (502, "<html>"),
        "closes": (404, {"detail": "there is no such path"}),
        "recent": (429, {"detail": "too many requests"}),
    }

    async def answer(request: web.Request) -> web.Response:
        status, body = answers[request.match_info["name"]]
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_get("/v1/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        asked = Asked(f"http://127.0.0.1:{runner.addresses[0][1]}", API_KEY)
        shown = await asked.picture("members")
        assert {name: shown[name]["refused"] for name in list(answers)[1:]} == {
            "rooms": "not all pods answered",
            "slow": "the pod did not answer this (502); its log may say why",
            "closes": "the pod that answers does not know this; its release is older (404)",
            "recent": "too many requests",
        }
        answers["info"] = (503, {"detail": "the pod is still starting"})
        with pytest.raises(Failed, match="the pod is still starting"):
            await asked.picture("members")
    finally:
        await runner.cleanup()


def test_a_pod_of_an_older_release_has_gaps() -> None:
    """What it does not say is `-`, and what it does not know is said in its place."""
    shown = picture(slow={"refused": "the pod that answers does not know this; its release is older (404)"})
    [row] = [line.split() for line in shown.splitlines() if line.startswith("p1")]
    assert row == ["p1", "h1", "9.9.9", "ready", "4,112", "-", "-", "-", "-", "-", "-", "up", "0.4", "ms"]
    assert "its release is older" in shown


def test_a_drain_shows_how_far_it_is() -> None:
    """How many connections are left, of how many."""
    drain = {"begun_at": 1.0, "window": 30.0, "from": 4112, "left": 911}
    info = {"pods": [POD | {"state": "draining", "drain": drain}], "connections": 911, "complete": False}
    shown = picture(info=info)
    assert "draining 911/4112 left" in shown
    assert "not complete" in shown


def test_close_codes_are_summed_and_texts_are_harmless() -> None:
    """The most frequent code comes first; what a terminal would obey is escaped."""
    minute = {"at": 0, "opened": 3, "turned_away": 1, "gateway": {"1001": 2}, "client": {"1000": 5}}
    ended = {"at": time.time(), "pod": "p1", "kind": "ended", "user": "\x1b[2J", "code": 1001, "times": 4}
    shown = picture(
        closes={"minutes": [minute, minute], "complete": True}, recent={"recent": [ended], "complete": True}
    )
    assert "opened: 6  turned away: 2  1000 by client: 10  1001 by gateway: 4" in shown
    assert "\x1b" not in shown
    assert "x4" in shown


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Numbers are at the right."""
    assert table([("A", "B"), ("long", "1"), ("x", "10")], right=[1]) == ["A      B", "long   1", "x     10"]
