"""Lines that nobody can forge, and not too many of them."""

import asyncio
import io
import json
import logging
import sys
import time

import pytest
import structlog

from app.edge import tally
from app.ops import logs

HOSTILE = ["a\r\nb", "\x1b[31mred", "\u2028line", "\ud800", '"}\n{"level":"info"', "x" * 10_000]


def test_every_line_is_one_json_object_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a client chose: line breaks, colours, halves of surrogates, and tokens in every dress."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    root = logging.getLogger()
    before = (root.handlers, root.level)
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    try:
        logs.configure("DEBUG", logs.LogFormat.JSON)
        for text in HOSTILE:
            structlog.get_logger("test").info(text, user=text)
            logging.getLogger("aiohttp.client").warning("%s: %r", text, [text])
        placed = (token, f"an.address.with.{token}.in.it", f"/ws?token={token}", f"Bearer {token}")
        for dressed in (*placed, "base64url.bearer.forestay.ZXlKaGJHY2lPaUo"):
            structlog.get_logger("test").info("refused", reason=dressed)
            logging.getLogger("aiohttp.client").warning("offered %s", dressed)
    finally:
        root.handlers, level = before
        root.setLevel(level)
        structlog.reset_defaults()
    lines = stream.getvalue().split("\n")
    assert len(lines) == 2 * len(HOSTILE) + 10 + 1
    assert all(json.loads(line)["event"] for line in lines if line)
    assert token[:20] not in stream.getvalue()
    assert "ZXlKaGJHY2lPaUo" not in stream.getvalue()


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
    monkeypatch.setattr(tally, "PAUSE", 0.05)
    monkeypatch.setattr(tally.log, "info", lambda event, **counts: lines.append({"event": event, **counts}))
    refused = tally.Tally("refused")
    for _ in range(100):
        refused.note("401")
    refused.note("503")
    while len(lines) < 2:
        await asyncio.sleep(0.01)
    assert lines == [{"event": "refused", "401": 1}, {"event": "refused", "401": 99, "503": 1}]
