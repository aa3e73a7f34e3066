"""Numbers with closed labels, and lines that nobody can forge."""

import asyncio
import io
import json
import logging
import sys
import time

import pytest
import structlog
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from app.core.ports import Outcome
from app.edge import tally
from app.ops import logs
from app.ops.metrics import Metrics
from app.protocol.codes import ErrorCode
from app.protocol.message import Message
from app.protocol.names import RoomName
from tests.support.readings import readings

HOSTILE = ["a\r\nb", "\x1b[31mred", "\u2028line", "\ud800", '"}\n{"level":"info"', "x" * 10_000]


def fed(metrics: Metrics, number: int) -> None:
    """Every kind of fact, about a room and a user of its own."""
    message = Message(RoomName(f"room-{number}"), b"1", "now", f"user-{number}")
    metrics.connected(f"user-{number}")
    metrics.received("broadcast", 100)
    metrics.published(message, Outcome.ACCEPTED, 0.001, 0.0)
    metrics.delivered(message, 3)
    metrics.flushed(3, 300, 0.002)
    metrics.refused(ErrorCode.FORBIDDEN)
    metrics.slow("disconnect")
    metrics.ended(3000 + number % 1000, 5.0, by_client=True)
    metrics.handshake("ok", 0.0, None)
    metrics.relocated("draining", "server_closed")


def test_ten_thousand_rooms_and_users_add_no_series() -> None:
    """Labels come from closed sets; a close code of a client's choice is `other`."""
    metrics = Metrics(readings(7, 2))
    fed(metrics, 0)
    before = metrics.render("")[0].count(b"\nforestay_")
    for number in range(10_000):
        fed(metrics, number)
    text = metrics.render("")[0].decode()
    assert text.count("\nforestay_") == before
    assert "room-" not in text
    assert "user-" not in text


@pytest.mark.parametrize(
    ("accept", "parse"), [("text/plain", prometheus), ("application/openmetrics-text; version=1.0.0", openmetrics)]
)
def test_both_formats_can_be_read_and_say_what_happened(accept: str, parse: object) -> None:
    """A gauge without a label, which autoscalers sum, and counters that count."""
    metrics = Metrics(readings(7, 2))
    fed(metrics, 0)
    body, content_type = metrics.render(accept)
    assert content_type.startswith(accept.split(";", maxsplit=1)[0])
    samples = {sample.name: sample for family in parse(body.decode()) for sample in family.samples}  # type: ignore[operator]
    assert (samples["forestay_connections"].value, samples["forestay_connections"].labels) == (7, {})
    assert samples["forestay_messages_delivered_total"].value == 3
    assert samples["forestay_delivery_pass_seconds_count"].value == 1


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
