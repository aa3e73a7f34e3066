"""One connection asks for more than its share, and the others do not notice."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName
from tests.support.gateway import API_KEY, Client, frame, gateway, token, upgrade
from tests.support.process import serving

CANARY = "canary-7d1f"


async def test_a_client_with_many_messages_at_once_gives_others_their_turn() -> None:
    """Between its messages the loop runs often, though all of them have arrived."""
    async with gateway(message_rate=0, message_bytes_rate=0, log_level="ERROR") as pod:
        traffic = pod.running._observation.counts.traffic
        greedy = await pod.connect("greedy")
        turns: list[int] = []

        async def watch() -> None:
            before = 0
            while True:
                await asyncio.sleep(0)
                turns.append(traffic.received.get("leave", 0) - before)
                before += turns[-1]

        watching = asyncio.ensure_future(watch())
        number = 3000
        await greedy.send(frame(1, b'{"type":"leave","room":"a"}') * number)
        async with asyncio.timeout(20):
            while sum(turns) < number:
                await asyncio.sleep(0.01)
        watching.cancel()
        assert max(turns) <= 128


@pytest.mark.parametrize(
    "message",
    [frame(10, b""), frame(9, b""), frame(1, b"{"), frame(1, b'{"type":"?"}'), frame(2, b"12345"), frame(1, b"")],
    ids=["pong", "ping", "not JSON", "unknown type", "binary", "empty"],
)
async def test_every_kind_of_message_counts_against_the_rate(message: bytes) -> None:
    """A client that has spent its messages on pongs or on text that cannot be read is told to wait."""
    async with gateway(message_rate=0.01, message_burst=20) as pod:
        client = await pod.connect()
        await client.send(message * 30)
        await client.say({"type": "ping", "id": "late"})
        while (heard := json.loads(await client.raw())).get("id") != "late":
            pass
        assert heard["payload"]["code"] == "rate_limited"


@pytest.mark.parametrize(
    "request_",
    [
        {"type": "history", "room": "a", "id": "x", "limit": 1000},
        {"type": "presence", "room": "a", "id": "x", "limit": 1000},
        {"type": "auth", "id": "x", "payload": {"token": "a.b.c"}},
    ],
    ids=["history", "presence", "auth"],
)
async def test_a_costly_request_counts_as_several_messages(request_: dict[str, object]) -> None:
    """Fewer of them come through at once than of cheap ones, because each costs the pod more."""

    async def accepted(sentence: dict[str, object]) -> int:
        async with gateway(message_rate=0.01, message_burst=20) as pod:
            client = await pod.connect()
            await client.say(*[sentence] * 20)
            heard = [await client.hear() for _ in range(20)]
        return sum(one["type"] != "error" or one["payload"]["code"] != "rate_limited" for one in heard)

    assert await accepted({"type": "ping", "id": "x"}) == 20
    assert await accepted(request_) < 20


async def test_a_body_without_a_length_is_read_to_the_limit_only() -> None:
    """A body in chunks is refused with 413 once it is too large, and not read to its end."""
    async with gateway(max_message_bytes=1000) as pod:
        sent = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent < 50_000_000:
                sent += 10_000
                yield b"x" * 10_000

        url = f"{pod.internal}/v1/rooms/a/messages"
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
        async with aiohttp.ClientSession() as session, session.post(url, data=chunks(), headers=headers) as response:
            assert response.status == 413
            assert (await response.json())["code"] == "too_large"
        assert sent < 50_000_000


@pytest.mark.parametrize("offer", ["permessage-deflate", "permessage-deflate; client_max_window_bits=9"])
async def test_compression_is_not_negotiated(offer: str) -> None:
    """Where COMPRESSION is off: a small frame cannot become a large message, and nothing is compressed."""
    async with gateway() as pod:
        client = await Client.request(pod.port, upgrade(token(), Sec_WebSocket_Extensions=offer))
        assert client.status == 101
        assert "sec-websocket-extensions" not in client.headers
        await client.hear("welcome")
        await client.send(bytes([0xC1, 0x80, 0, 0, 0, 0]))
        assert (await client.ended()).code == 1002


async def test_a_star_in_an_origin_is_no_wildcard() -> None:
    """A list with a wildcard does not match an origin that has the star itself."""
    async with gateway(allowed_origins="https://*.example.com") as pod:
        for origin, status in (("https://a.example.com", 101), ("https://*.example.com", 403)):
            client = await Client.request(pod.port, upgrade(token(), Origin=origin))
            assert client.status == status


@pytest.mark.parametrize("kind", [Kind.USER_JOINED, Kind.USER_LEFT])
async def test_nobody_hears_news_of_themselves(kind: Kind) -> None:
    """News of a user that come from another pod go to the other members, and to no connection of the user."""
    async with gateway() as pod:
        alice, bob, other = [await pod.join(user, "chat.a") for user in ("alice", "bob", "bob")]
        news = Message(RoomName("chat.a"), b'{"user":"bob"}', "2026-01-01T00:00:00Z", sender="bob", kind=kind)
        pod.running._pod.bus.publish(news)
        assert (await alice.hear())["payload"] == {"user": "bob"}
        assert await bob.silent()
        assert await other.silent()


async def test_no_log_line_repeats_a_malformed_request() -> None:
    """Neither port writes a part of a request that it cannot read, for it can contain a token."""
    async with serving(FORESTAY_LOG_LEVEL="DEBUG") as served:
        for port in (served.port, served.internal_port):
            for request in (
                f"GET /ws?token={CANARY} HTTP/9.9\r\n\r\n",
                f"GET /{CANARY}\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
                f"GET / HTTP/1.1\r\n{CANARY}\r\n\r\n",
                f"GET / HTTP/1.1\r\nHost: a\r\nX: {CANARY * 2000}\r\n\r\n",
            ):
                client = await Client.request(port, request.encode())
                assert client.status in (400, 431)
        assert await served.end() == 0
    assert CANARY not in served.log
    assert "Traceback" not in served.log
