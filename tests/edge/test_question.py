"""A plain GET of the WebSocket path says whether a handshake would be refused, and why."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.gateway import Client, Gateway, gateway, token, upgrade

GOOD = token()
HEADERS = "Authorization, Cache-Control, Content-Type, Idempotency-Key, Last-Event-ID, traceparent, tracestate"
NO_UPGRADE: dict[str, str | None] = {
    "Upgrade": None,
    "Connection": None,
    "Sec_WebSocket_Version": None,
    "Sec_WebSocket_Key": None,
}


def question(bearer: str | None, path: str = "/ws", **headers: str | None) -> bytes:
    return upgrade(bearer, path, **NO_UPGRADE | headers)


async def ask(running: Gateway, bearer: str | None, path: str = "/ws", **headers: str | None) -> tuple[Client, Any]:
    """The answer, and its problem document."""
    client = await Client.request(running.port, question(bearer, path, **headers))
    assert client.headers["content-type"] == "application/problem+json"
    assert client.headers["cache-control"] == "no-store"
    assert client.headers["vary"] == "Origin"
    return client, json.loads(client.body)


async def test_where_all_checks_hold_the_answer_is_426() -> None:
    """The answer asks for an upgrade, whichever way the token came."""
    async with gateway() as running:
        for bearer, path in ((GOOD, "/ws"), (None, f"/ws?access_token={GOOD}")):
            client, problem = await ask(running, bearer, path)
            assert (client.status, client.headers["upgrade"]) == (426, "websocket")
            assert (problem["status"], problem["code"]) == (426, "bad_message")


async def test_a_proxy_that_speaks_http_1_0_asks_for_its_clients() -> None:
    """So does nginx, by default. The answer to a plain GET is the same, so that a client learns that it may connect."""
    async with gateway() as running:
        old = await Client.request(running.port, question(GOOD).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert old.status == 426


async def test_an_upgrade_to_something_else_is_a_question_too() -> None:
    """Clients of HTTP offer HTTP/2 in the same header."""
    async with gateway() as running:
        client, _ = await ask(running, GOOD, Upgrade="h2c", Connection="Upgrade, HTTP2-Settings", HTTP2_Settings="AA")
        assert client.status == 426


async def test_a_handshake_that_lost_a_header_is_no_question() -> None:
    """A proxy that removes `Upgrade` is named as the fault, and not answered with 426."""
    async with gateway() as running:
        for lost in ("Upgrade", "Connection", "Sec_WebSocket_Key", "Sec_WebSocket_Version"):
            client = await Client.request(running.port, upgrade(GOOD, "/ws", **{lost: None}))
            assert (client.status, json.loads(client.body)["code"]) == (400, "bad_message"), lost


async def test_the_answers_come_in_the_order_of_the_handshake() -> None:
    """The order is form, capacity, origin, token, and the documents are those of the handshake."""
    evil = "https://evil.example"
    async with gateway(max_connections=1) as running:
        first = None
        for bearer, headers, full, status in (
            ("bad", {"Origin": evil, "Content_Length": "3"}, False, 400),
            ("bad", {"Origin": evil}, False, 403),
            ("bad", {}, False, 401),
            (None, {}, False, 401),
            ("bad", {"Origin": evil}, True, 503),
            (GOOD, {}, True, 503),
        ):
            if full and first is None:
                first = await running.connect()
            body = b"abc" if "Content_Length" in headers else b""
            asked = await Client.request(running.port, question(bearer, **headers) + body)
            shaken = await Client.request(running.port, upgrade(bearer, **headers) + body)
            assert asked.status == shaken.status == status
            assert json.loads(asked.body) == json.loads(shaken.body)
            assert ("retry-after" in asked.headers) == (status == 503)


async def test_a_question_takes_nothing() -> None:
    """Many questions of one user leave its place and the place of the pod free."""
    async with gateway(max_connections=1, max_connections_per_user=1, handshakes=1) as running:
        for _ in range(5):
            assert (await ask(running, GOOD))[0].status == 426
        assert running.running._admission.sockets == 0
        await running.connect()


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://evil.example", "null"])
async def test_a_page_can_read_its_answer(origin: str) -> None:
    """A page may read why it was refused, also where its origin is the reason. Cookies are never asked for."""
    async with gateway(allowed_origins="https://app.example.com") as running:
        client, problem = await ask(running, GOOD, Origin=origin)
        assert client.status == (426 if origin == "https://app.example.com" else 403)
        assert client.headers["access-control-allow-origin"] == origin
        assert "retry-after" in client.headers["access-control-expose-headers"].lower()
        assert "access-control-allow-credentials" not in client.headers
        assert client.status == 426 or origin in problem["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec_Fetch_Site": "same-origin", "Referer": "http://test.example/page?a=b"}, 403),
        ({"Sec_Fetch_Site": "same-origin", "Referer": "https://app.example.com/"}, 426),
        ({"Sec_Fetch_Site": "same-origin", "Referer": "https://u:p@app.example.com"}, 426),
        ({"Sec_Fetch_Site": "same-origin", "Referer": "http://[bad"}, 426),
        ({"Sec_Fetch_Site": "same-origin"}, 426),
        ({"Sec_Fetch_Site": "none", "Referer": "http://test.example/"}, 426),
        ({"Referer": "http://test.example/"}, 426),
    ],
)
async def test_a_page_of_the_same_host_has_the_origin_of_its_referrer(headers: dict[str, str], status: int) -> None:
    """A browser sends no Origin with its question, and one with its handshake. The answer is that of the handshake."""
    async with gateway(allowed_origins="https://app.example.com") as running:
        client, problem = await ask(running, GOOD, **headers)
        assert client.status == status
        if status == 403:
            assert 'has Origin "http://test.example"' in problem["detail"]


async def test_a_page_can_read_that_nothing_is_at_a_path() -> None:
    """A wrong path is the most frequent mistake: a client of any origin learns it, and the right path."""
    async with gateway(path_prefix="/chat") as running:
        origin = "https://app.example.com"
        client, problem = await ask(running, GOOD, "/ws", Origin=origin)
        assert (client.status, problem["code"]) == (404, "not_found")
        assert problem["detail"].endswith("clients connect to /chat/ws")
        assert client.headers["access-control-allow-origin"] == origin
        asked = question(None, "/ws", Origin=origin, Access_Control_Request_Method="GET")
        client = await Client.request(running.port, asked.replace(b"GET /ws", b"OPTIONS /ws"))
        assert (client.status, client.headers["access-control-allow-headers"]) == (204, HEADERS)


async def test_a_page_may_send_its_token_with_the_question() -> None:
    """A browser asks first whether `Authorization` may be sent, without a token and also at a full pod."""
    async with gateway(max_connections=1) as running:
        await running.connect()
        wanted = {
            "Origin": "https://app.example.com",
            "Access_Control_Request_Method": "GET",
            "Access_Control_Request_Headers": "authorization",
        }
        client = await Client.request(running.port, question(None, **wanted).replace(b"GET /ws", b"OPTIONS /ws"))
        assert (client.status, client.body) == (204, b"")
        assert client.headers["access-control-allow-origin"] == "https://app.example.com"
        assert client.headers["access-control-allow-methods"] == "GET"
        assert client.headers["access-control-allow-headers"] == HEADERS
        assert "access-control-allow-credentials" not in client.headers


@pytest.mark.parametrize("origin", ["https://ü.example", "https://a\tb.example", "x" * 2000])
async def test_an_origin_that_cannot_be_repeated_is_refused_without_one(origin: str) -> None:
    """The answer repeats no control character and no long text, in its headers or its body."""
    async with gateway() as running:
        client, problem = await ask(running, GOOD, Origin=origin)
        assert client.status == 403
        assert "access-control-allow-origin" not in client.headers
        assert problem["detail"].isascii() or "…" in problem["detail"]
        assert len(problem["detail"]) < 500


async def test_a_question_during_a_drain_gets_503() -> None:
    """So a client that cannot connect hears that the pod is leaving."""
    async with gateway() as running:
        held = await running.connect()
        draining = asyncio.create_task(running.running.stop(asyncio.Event()))
        await held.ended()
        client, problem = await ask(running, GOOD)
        assert (client.status, problem["code"]) == (503, "unavailable")
        await held.close()
        await draining
