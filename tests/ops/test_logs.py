"""Lines that nobody can forge, and not too many of them."""

import asyncio
import io
import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest
import structlog

from forestay.edge import log_throttle as tally
from forestay.ops.logs import logs
from tests.support.gateway import Client, token, upgrade
from tests.support.process import serving

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

FACT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[\w+ *\] ")
"""How a readable line begins."""

HOSTILE = [
    "a\r\nb",
    "\x1b[31mred",
    "\u2028line",
    "\ud800",
    '"}\n{"level":"info"',
    "x" * 10_000,
    "\u202etxet",
    "\x9b2J",
    "\x00\x07\x85",
]


@contextmanager
def written(form: logs.LogFormat) -> Iterator[io.StringIO]:
    """What is logged meanwhile."""
    stream, before = io.StringIO(), sys.stderr
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    sys.stderr = stream
    try:
        logs.configure("DEBUG", form)
        yield stream
    finally:
        sys.stderr = before
        root.handlers = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def say_everything() -> None:
    """Whatever a client chose, as an event, a field, an argument of another library and the words of an error."""
    for text in HOSTILE:
        structlog.get_logger("test").info(text, user=text)
        logging.getLogger("aiohttp.client").warning("%s: %r", text, [text])


def test_every_line_is_one_json_object_without_a_token() -> None:
    """Whatever a client chose: line breaks, colours, halves of surrogates, and tokens in every dress."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    with written(logs.LogFormat.JSON) as stream:
        say_everything()
        placed = (token, f"an.address.with.{token}.in.it", f"/ws?token={token}", f"Bearer {token}")
        for dressed in (*placed, "base64url.bearer.forestay.ZXlKaGJHY2lPaUo"):
            structlog.get_logger("test").info("refused", reason=dressed)
            logging.getLogger("aiohttp.client").warning("offered %s", dressed)
    lines = stream.getvalue().split("\n")
    assert len(lines) == 2 * len(HOSTILE) + 10 + 1
    assert all(json.loads(line)["event"] for line in lines if line)
    assert all(text.isprintable() for text in lines)
    assert token[:20] not in stream.getvalue()
    assert "ZXlKaGJHY2lPaUo" not in stream.getvalue()


def test_every_readable_line_is_one_fact() -> None:
    """On a terminal too: nothing moves the cursor, colours, turns round or ends a line but we."""
    with written(logs.LogFormat.TEXT) as stream:
        say_everything()
    lines = stream.getvalue().split("\n")
    assert len(lines) == 2 * len(HOSTILE) + 1
    assert all(FACT.match(line) for line in lines if line)
    assert all(line.isprintable() for line in lines)


def test_the_words_of_an_error_are_no_line_of_their_own() -> None:
    """A traceback is set in, so that what stands in a message cannot pass for a fact."""
    with written(logs.LogFormat.TEXT) as stream:
        try:
            raise ValueError("no\n2026-11-25T18:00:00.000000Z [info     ] forged\x1b[2J")
        except ValueError:
            structlog.get_logger("test").exception("a bug ended a connection", connection="c1")
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if FACT.match(line)] == lines[:1]
    assert "connection=c1" in lines[0]
    assert any("forged" in line for line in lines)
    assert all(line.isprintable() for line in lines)


async def test_a_refusal_can_be_found_by_connection_and_trace() -> None:
    """At the level of debugging: which connection was told no, and which trace the message belonged to."""
    async with serving(FORESTAY_LOG_LEVEL="DEBUG") as served:
        client = await Client.open(served.port, token("alice", rooms={"chat.*": "r"}))
        connection = (await client.hear("welcome"))["payload"]["connection"]
        said = {"type": "broadcast", "room": "chat.a", "payload": 1}
        assert (await client.ask(said | {"traceparent": TRACEPARENT}))["payload"]["code"] == "forbidden"
        assert (await client.ask(said))["payload"]["code"] == "forbidden"
        assert (await client.ask("{"))["payload"]["code"] == "bad_json"
        await Client.request(served.port, upgrade(None, traceparent=TRACEPARENT))
        headers = {"traceparent": TRACEPARENT}
        url = f"http://127.0.0.1:{served.internal_port}/v1/rooms"
        async with aiohttp.request("GET", url, headers=headers) as response:
            assert response.status == 401
        await client.close()
        await served.end()
    lines = [json.loads(line) for line in served.log.splitlines()]
    refused = [line for line in lines if line["event"] == "message refused"]
    assert [(one["code"], one["connection"], one.get("trace_id", "none")) for one in refused] == [
        ("forbidden", connection, TRACEPARENT[3:35]),
        ("forbidden", connection, "none"),
        ("bad_json", connection, "none"),
    ]
    assert {one["level"] for one in refused} == {"debug"}
    for event in ("handshake refused", "request refused"):
        [one] = [line for line in lines if line["event"] == event]
        assert (one["code"], one["trace_id"]) == ("bad_token", TRACEPARENT[3:35])


async def test_messages_make_no_lines() -> None:
    """Not those that are delivered and not those that are refused: a log does not grow with the traffic."""
    async with serving() as served:
        client = await Client.open(served.port, token())
        await client.hear("welcome")
        await client.ask({"type": "join", "room": "chat.a"})
        for number in range(50):
            await client.ask({"type": "broadcast", "room": "chat.a", "payload": number})
            await client.ask({"type": "nonsense"})
        await client.close()
        await served.end()
    events = [json.loads(line)["event"] for line in served.log.splitlines()]
    assert events == ["ready", "draining", "drained", "stopped"]


def test_a_long_line_that_is_nearly_a_token_takes_no_longer_than_its_length() -> None:
    """Ten times the text is ten times the work, not a hundred times."""

    def effort(length: int) -> float:
        event = {"event": "ey" * (length // 2)}
        started = time.process_time()
        for _ in range(5):
            logs._redact(None, "info", event)
        return time.process_time() - started

    effort(1000)
    assert effort(400_000) < 40 * max(effort(40_000), 0.001)


async def test_a_flood_of_requests_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is told at once, the others by their number."""
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(tally, "INTERVAL", 0.05)
    monkeypatch.setattr(tally.log, "info", lambda event, **counts: lines.append({"event": event, **counts}))
    refused = tally.LogThrottle("refused")
    for _ in range(100):
        refused.count("401")
    refused.count("503")
    while len(lines) < 2:
        await asyncio.sleep(0.01)
    assert lines == [{"event": "refused", "401": 1}, {"event": "refused", "401": 99, "503": 1}]
