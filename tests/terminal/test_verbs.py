"""The client commands, run against a real gateway."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from forestay.protocol.codes import ENDINGS, CloseCode
from forestay_client import Client
from tests.support.gateway import SECRET, Gateway, call, gateway, token
from tests.support.process import FORESTAY, forestay, start

# A test starts up to three processes, each of which takes half a second of CPU before its first line.
pytestmark = pytest.mark.timeout(240)

ROOMS = """
[[rooms]]
pattern = "log.*"
[rooms.history]
size = 10
ttl = 60

[[rooms]]
pattern = "chat.*"
join_leave = true

[[rooms]]
pattern = "quiet.*"
echo = false
"""


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with the rooms above."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    async with gateway(rooms_file=str(rooms), reconnect_spread=0.1) as running:
        yield running


@pytest.fixture
async def bob(pod: Gateway) -> AsyncIterator[Client]:
    """A second user's client."""
    async with Client(pod.url, get_token=lambda: token("bob")) as client:
        yield client


async def line(stream: asyncio.StreamReader | None) -> str:
    """The next line, or an empty one at the end. pytest limits the wait: a busy machine starts a process slowly."""
    assert stream is not None
    return (await stream.readline()).decode().rstrip("\n")


async def heard_until(stream: asyncio.StreamReader | None, word: str) -> None:
    while word not in (text := await line(stream)):
        assert text, f"ended before {word!r}"


async def interrupted(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGINT)
    return await process.wait()


async def test_tail_prints_what_send_publishes(pod: Gateway, bob: Client) -> None:
    """`send` exits after the message was accepted; `tail` prints it, after the room's history."""
    room = bob.room("log.a")
    await room.join()
    await room.publish({"text": "before"})
    tail = await start("tail", "log.a", "chat.a", "--url", pod.url, "--last", "5", FORESTAY_TOKEN=token())
    assert (await line(tail.stdout))[9:] == "log.a bob: before"
    for text in ("hello", '{"n": [1, null]}'):
        kind = ["--json"] if text != "hello" else []
        sent = await forestay("send", "log.a", text, *kind, "--url", pod.url, "--token", token("carol"))
        assert sent == (0, "", "forestay: connected\n")
    assert [(await line(tail.stdout))[9:] for _ in range(2)] == ["log.a carol: hello", 'log.a carol: {"n": [1, null]}']
    sent = await forestay("send", "log.a", "hi", "--event", "chat message", "--url", pod.url, "--token", token("carol"))
    assert sent == (0, "", "forestay: connected\n")
    assert (await line(tail.stdout))[9:] == 'log.a carol: chat message ["hi"]'
    assert await interrupted(tail) == 130


async def test_a_tail_can_be_read_by_a_program(pod: Gateway, bob: Client) -> None:
    """`tail --json` prints one JSON object per line, and ends without an error when its reader closes the pipe."""
    room = bob.room("log.a")
    position = await room.publish("first")
    assert position is not None
    tail = await start("tail", "log.a", "--json", "--last", "1", "--url", pod.url, FORESTAY_TOKEN=token())
    printed = json.loads(await line(tail.stdout))
    place = {"epoch": position.epoch, "offset": 1, "timestamp": printed["timestamp"]}
    assert printed == {"room": "log.a", "from": "bob", "payload": "first"} | place
    stdout = tail._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
    stdout.close()
    await room.publish("second")
    assert tail.stderr is not None
    assert (await tail.stderr.read()).decode() == "forestay: connected\n"
    assert await tail.wait() == 0


async def test_join_prints_messages_and_publishes_lines(pod: Gateway, bob: Client) -> None:
    """`join` publishes typed lines, prints messages and new members, and leaves at the end of input."""
    join = await start("join", "chat.a", "--url", pod.url, FORESTAY_TOKEN=token())
    await heard_until(join.stderr, "in chat.a as alice")
    room = bob.room("chat.a")
    await room.join()
    assert await line(join.stdout) == "* bob joined"
    assert join.stdin is not None
    join.stdin.write(b"hello bob\n")
    message = await anext(aiter(room))
    assert (message.sender, message.payload) == ("alice", {"text": "hello bob"})
    assert (await line(join.stdout))[9:] == "chat.a alice: hello bob"
    join.stdin.write_eof()
    assert await join.wait() == 0


async def test_join_ends_when_the_connection_is_revoked(pod: Gateway) -> None:
    """`join` exits at once when a backend ends the connection, without waiting for the next line."""
    join = await start("join", "chat.a", "--url", pod.url, FORESTAY_TOKEN=token())
    await heard_until(join.stderr, "in chat.a as alice")
    await call(pod, "DELETE", "/v1/users/alice/connections")
    await heard_until(join.stderr, "4403 access revoked")
    assert await join.wait() == 1


async def test_control_characters_are_escaped(pod: Gateway, bob: Client) -> None:
    """Control characters in messages are printed as escapes, so that the terminal does not obey them."""
    room = bob.room("log.a")
    await room.publish({"text": "\x1b[31mred\x07\nforged\u202e"})
    await room.publish("end")
    tail = await start("tail", "log.a", "--last", "2", "--url", pod.url, FORESTAY_TOKEN=token())
    assert (await line(tail.stdout))[9:] == r"log.a bob: \x1b[31mred\x07\nforged\u202e"
    await interrupted(tail)


async def test_tail_reconnects_and_prints_missed_messages(pod: Gateway, bob: Client) -> None:
    """After a lost connection `tail` says so, reconnects, and prints the missed messages."""
    tail = await start("tail", "log.a", "--url", pod.url, FORESTAY_TOKEN=token())
    await heard_until(tail.stderr, "connected")
    while not pod.running._pod.hub.of_user("alice")[0].rooms:
        await asyncio.sleep(0.01)
    # With this message it also has the answer to its join, which says where the missed messages begin.
    await bob.room("log.a").publish("before")
    assert (await line(tail.stdout))[9:] == "log.a bob: before"
    [connection] = pod.running._pod.hub.of_user("alice")
    connection.transport.close(ENDINGS[CloseCode.INTERNAL_ERROR])
    await bob.room("log.a").publish("meanwhile")
    await heard_until(tail.stderr, "the connection was lost (1011")
    assert (await line(tail.stdout))[9:] == "log.a bob: meanwhile"
    await interrupted(tail)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["send", "no room", "x"], 1, "invalid_room"),
        (["send", "chat.a", "{", "--json"], 2, "not JSON"),
        (["tail", "secret"], 1, "forbidden"),
        (["join", "chat.a", "--token", "bad"], 1, "401 bad_token"),
        (["send", "chat.a", "x", "--url", "ws://127.0.0.1:9/ws", "--timeout", "1s"], 1, "within 1 s"),
        (["load", "--url", "ws://127.0.0.1:9/ws"], 1, "refused"),
        (["load", "--url", "wss://127.0.0.1:9/ws"], 2, "ws:// only"),
        (["load", "--connections", "0"], 2, "above 0"),
        (["load", "--room", "secret"], 1, "the join was refused: forbidden"),
        (["load", "--room", "chat.a", "--size", "70000"], 2, "larger than the gateway takes (65536)"),
        (["load", "--room", "chat.a", "--connections", "1", "--rate", "1000"], 2, "use more --connections"),
        (["send", "chat.a", "x" * 70_000], 1, "too_large: the message has 70,"),
        (["tail", "chat.a", "--token", "a b"], 2, "the token contains white space"),
        (["tail", "--url", "localhost:8080"], 2, "an address such as"),
        (["send", "chat.a", "\udcff"], 2, "cannot be sent"),
    ],
)
async def test_an_error_is_one_line_with_its_exit_status(
    pod: Gateway, arguments: list[str], status: int, words: str
) -> None:
    """A failed command prints the reason without a traceback and exits with the documented status."""
    where = [] if "--url" in arguments else ["--url", pod.url]
    ended, out, error = await forestay(*arguments, *where, FORESTAY_TOKEN=token(rooms={"chat.*": "rw"}))
    assert (ended, out) == (status, "")
    assert words in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("ws://127.0.0.1:{public}/ws/", "404: not_found"),
        ("ws://127.0.0.1:{internal}/ws", "at this path of the internal port; clients connect to the public one"),
        ("wss://127.0.0.1:{public}/ws", "is it ws:// in place of wss://?"),
        ("ws://no.such.host.invalid/ws", "the name of the host cannot be resolved"),
        ("127.0.0.1:{public}/ws", "it must look like ws://example.com/ws"),
        ("ws://127.0.0.1:9/ws", "connection refused"),
    ],
)
async def test_a_ping_of_a_wrong_address_says_what_is_wrong(pod: Gateway, template: str, words: str) -> None:
    """`ping` names the mistake in an address, and no class of a library."""
    url = template.format(public=pod.port, internal=pod.internal_port)
    ended, out, error = await forestay("ping", url, "--timeout", "5s", FORESTAY_TOKEN=token())
    assert (ended, out) == (1, "")
    assert words in error
    assert "Error" not in error


async def test_a_token_is_minted_with_the_secret(pod: Gateway, bob: Client) -> None:
    """Without a token one is minted with the secret; without both the error names the variables."""
    room = bob.room("chat.a")
    await room.join()
    status, _, _ = await forestay("send", "chat.a", "x", "--user", "dave", "--url", pod.url, FORESTAY_JWT_SECRET=SECRET)
    message = await anext(aiter(room))
    assert (status, message.sender) == (0, "dave")
    status, _, error = await forestay("send", "chat.a", "x", "--url", pod.url)
    assert status == 2
    assert "FORESTAY_TOKEN" in error


@pytest.mark.parametrize("room", ["chat.load", "quiet.load"])
async def test_a_load_is_counted(pod: Gateway, room: str) -> None:
    """`load` delivers every message to every member, the sender included, for any echo policy of the room."""
    arguments = ["load", "--room", room, "--connections", "20", "--rate", "40", "--seconds", "1s"]
    status, out, error = await forestay(*arguments, "--url", pod.url, FORESTAY_TOKEN=token())
    assert (status, error) == (0, "")
    assert "sent 40, delivered 800 of 800, connections closed 0" in out
    assert "latency p50" in out


async def test_a_load_is_drawn_on_a_terminal_and_told_to_programs(pod: Gateway) -> None:
    """On a terminal `load` shows how far it is and draws the latencies; `--json` prints one object and no picture."""
    arguments = ["load", "--room", "chat.load", "--connections", "4", "--rate", "20", "--seconds", "1s"]
    leader, follower = os.openpty()
    program = replace(FORESTAY, output=follower)
    drawn = await program.start(*arguments, FORESTAY_URL=pod.url, FORESTAY_TOKEN=token())
    os.close(follower)
    picture = await asyncio.to_thread(_all_of, leader)
    assert await drawn.wait() == 0
    assert "connecting [" in picture
    assert "loading    [" in picture
    assert "█" in picture
    assert "p99 by second" in picture
    status, out, error = await forestay(*arguments, "--json", FORESTAY_URL=pod.url, FORESTAY_TOKEN=token())
    assert (status, error) == (0, "")
    told = json.loads(out)
    assert (told["sent"], told["delivered"], told["expected"], told["closed"]) == (20, 80, 80, 0)
    assert told["latency_ms"]["p50"] <= told["latency_ms"]["p99"]


def _all_of(terminal: int) -> str:
    """What was written to a terminal until its other end was closed, which Linux tells as an error."""
    data = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(terminal, 65536):
            data += chunk
    os.close(terminal)
    return data.decode()


async def test_a_ping_takes_its_url_in_three_ways(pod: Gateway) -> None:
    """`ping` takes the URL as an argument, as `--url` as all other commands, and from the environment."""
    for arguments, environ in (([pod.url], {}), (["--url", pod.url], {}), ([], {"FORESTAY_URL": f" {pod.url} "})):
        status, out, error = await forestay("ping", *arguments, FORESTAY_TOKEN=token(), **environ)
        assert (status, error) == (0, "")
        assert out.startswith(f"pong from {pod.url} in ")


@pytest.mark.slow
async def test_load_connections_survive_ping_timeouts() -> None:
    """Connections of `load` stay open beyond the ping timeout, although they send little."""
    async with gateway(ping_interval=5, pong_timeout=3) as pod:
        arguments = ["load", "--connections", "5", "--rate", "1", "--seconds", "12s"]
        status, out, _ = await forestay(*arguments, "--url", pod.url, FORESTAY_TOKEN=token())
    assert status == 0
    assert "connections closed 0" in out


async def test_load_reports_missing_deliveries(pod: Gateway) -> None:
    """`load` exits with 1 and counts messages that the gateway refused as missing."""
    arguments = ["load", "--room", "chat.a", "--connections", "2", "--rate", "40", "--seconds", "1s"]
    status, _, error = await forestay(*arguments, "--url", pod.url, FORESTAY_TOKEN=token(rooms={"**": "r"}))
    assert status == 1
    assert "80 of 80 deliveries are missing" in error


@pytest.mark.parametrize("verb", [["join", "r"], ["send", "r", "x"], ["tail"]])
async def test_a_missing_client_names_the_extra(tmp_path: Path, verb: list[str]) -> None:
    """Without the client package a command names the extra to install; `load` works without it."""
    (tmp_path / "forestay_client.py").write_text("raise ModuleNotFoundError('none', name='forestay_client')\n")
    status, out, error = await forestay(*verb, FORESTAY_TOKEN="x", PYTHONPATH=str(tmp_path))
    assert (status, out) == (2, "")
    assert "pip install 'forestay[client]'" in error
    assert (await forestay("load", "--help", PYTHONPATH=str(tmp_path)))[0] == 0
