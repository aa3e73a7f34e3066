"""Log lines: no text can forge one, none contains a token, and traffic does not multiply them."""

import asyncio
import io
import json
import logging
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest
import structlog

from forestay.edge import log_throttle
from forestay.ops.logs import logs
from tests.support.gateway import Client, token, upgrade
from tests.support.process import serving

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

LINE_START = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[\w+ *\] ")
"""The start of a readable line."""

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
    """Yields the text that is logged within the block. It is there at the end of the block."""
    stream, before = io.StringIO(), sys.stderr
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as file:
            sys.stderr = file
            logs.configure("DEBUG", form)
            yield stream
            root.handlers[0].flush()
            file.seek(0)
            stream.write(file.read())
    finally:
        sys.stderr = before
        root.handlers = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def log_hostile_texts() -> None:
    """Logs each hostile text as an event, as a field and through another library's logger."""
    for text in HOSTILE:
        structlog.get_logger("test").info(text, user=text)
        logging.getLogger("aiohttp.client").warning("%s: %r", text, [text])


def test_every_line_is_one_json_object_without_a_token() -> None:
    """Each event is one JSON line without control characters, and tokens are redacted in all their forms."""
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    with written(logs.LogFormat.JSON) as stream:
        log_hostile_texts()
        placed = (token, f"an.address.with.{token}.in.it", f"/ws?token={token}", f"Bearer {token}")
        for text in (*placed, "base64url.bearer.forestay.ZXlKaGJHY2lPaUo"):
            structlog.get_logger("test").info("refused", reason=text)
            logging.getLogger("aiohttp.client").warning("offered %s", text)
    lines = stream.getvalue().split("\n")
    assert len(lines) == 2 * len(HOSTILE) + 10 + 1
    assert all(json.loads(line)["event"] for line in lines if line)
    assert all(text.isprintable() for text in lines)
    assert token[:20] not in stream.getvalue()
    assert "ZXlKaGJHY2lPaUo" not in stream.getvalue()


def test_every_readable_line_is_one_event() -> None:
    """In text form, client text cannot move the cursor, change colours or direction, or end a line."""
    with written(logs.LogFormat.TEXT) as stream:
        log_hostile_texts()
    lines = stream.getvalue().split("\n")
    assert len(lines) == 2 * len(HOSTILE) + 1
    assert all(LINE_START.match(line) for line in lines if line)
    assert all(line.isprintable() for line in lines)


def test_the_message_of_an_error_does_not_look_like_a_line() -> None:
    """A traceback is indented, so that an error message inside it cannot pass for a log line."""
    with written(logs.LogFormat.TEXT) as stream:
        try:
            raise ValueError("no\n2026-11-25T18:00:00.000000Z [info     ] forged\x1b[2J")
        except ValueError:
            structlog.get_logger("test").exception("a bug ended a connection", connection="c1")
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if LINE_START.match(line)] == lines[:1]
    assert "connection=c1" in lines[0]
    assert any("forged" in line for line in lines)
    assert all(line.isprintable() for line in lines)


async def test_a_refusal_can_be_found_by_connection_and_trace() -> None:
    """At debug level each refusal is logged with its connection and its trace."""
    async with serving(FORESTAY_LOG_LEVEL="DEBUG") as served:
        client = await Client.open(served.port, token("alice", rooms={"chat.*": "r"}))
        connection = (await client.hear("welcome"))["payload"]["connection"]
        message = {"type": "broadcast", "room": "chat.a", "payload": 1}
        assert (await client.ask(message | {"traceparent": TRACEPARENT}))["payload"]["code"] == "forbidden"
        assert (await client.ask(message))["payload"]["code"] == "forbidden"
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
    """Neither delivered nor refused messages make log lines, so the log does not grow with the traffic."""
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


def test_redacting_takes_linear_time() -> None:
    """Redacting a line ten times as long takes about ten times the work, not a hundred times."""

    def effort(length: int) -> float:
        event = {"event": "ey" * (length // 2)}
        started = time.process_time()
        for _ in range(5):
            logs._redact(None, "info", event)
        return time.process_time() - started

    effort(1000)
    assert effort(400_000) < 40 * max(effort(40_000), 0.001)


def test_what_aiohttp_says_about_requests_is_not_logged() -> None:
    """Its error for a malformed request has the request in its traceback, and a warning repeats subprotocols."""
    malformed = aiohttp.http_exceptions.BadStatusLine("GET /ws?access_token=canary")
    with written(logs.LogFormat.JSON) as stream:
        logging.getLogger("aiohttp.server").error("Error handling request", exc_info=malformed)
        logging.getLogger("aiohttp.websocket").warning("Client protocols %r don't overlap", ["canary"])
        logging.getLogger("aiohttp.server").error("another error")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["another error"]


@pytest.fixture
def throttled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The lines of throttles, which come often."""
    lines: list[dict[str, object]] = []
    monkeypatch.setattr(log_throttle, "INTERVAL", 0.05)
    monkeypatch.setattr(log_throttle.log, "info", lambda event, **counts: lines.append({"event": event, **counts}))
    return lines


async def test_the_last_reason_of_each_kind_is_logged(throttled: list[dict[str, object]]) -> None:
    """A reason is said with its counts, and forgotten with them."""
    throttle = log_throttle.LogThrottle("refused")
    for number in range(3):
        throttle.count("401", f"reason {number}")
    throttle.count("503")
    while len(throttled) < 2:
        await asyncio.sleep(0.01)
    assert throttled == [
        {"event": "refused", "401": 1, "last 401": "reason 0"},
        {"event": "refused", "401": 2, "503": 1, "last 401": "reason 2"},
    ]


async def test_a_flood_of_refusals_is_summed_up(throttled: list[dict[str, object]]) -> None:
    """The first refusal is logged at once, and those that follow as counts after a pause."""
    throttle = log_throttle.LogThrottle("refused")
    for _ in range(100):
        throttle.count("401")
    throttle.count("503")
    while len(throttled) < 2:
        await asyncio.sleep(0.01)
    assert throttled == [{"event": "refused", "401": 1}, {"event": "refused", "401": 99, "503": 1}]
