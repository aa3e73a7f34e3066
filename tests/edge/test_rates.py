"""Over a socket: what happens to a client that sends more than it may."""

import asyncio
import json
import time

import pytest

from tests.support.even_machine import again_if_uneven
from tests.support.gateway import Client, frame, gateway

RATE = 40


async def obey(client: Client, rooms: set[str]) -> float:
    """Join each room again after the time that its refusal told. Returns the seconds until all are joined."""
    loop, started = asyncio.get_running_loop(), time.monotonic()
    waiting = set(rooms)
    while waiting:
        heard = await client.hear()
        if heard["type"] == "joined":
            waiting.discard(heard["room"])
            continue
        assert heard["payload"]["code"] == "rate_limited"
        again = {"type": "join", "room": heard["room"], "id": heard["id"]}
        data = frame(1, json.dumps(again).encode())
        loop.call_later(heard["payload"]["retry_after_ms"] / 1000, client.writer.write, data)
    return time.monotonic() - started


async def test_two_hundred_rooms_with_few_tokens() -> None:
    """A client that obeys is in 200 rooms as soon as the rate allows it, one by one or in lists."""
    rooms = [f"room.{number}" for number in range(200)]
    async with gateway(message_rate=RATE, message_burst=RATE, rooms_per_connection=200) as running:
        client = await running.connect()
        await client.say(*[{"type": "join", "room": room, "id": room} for room in rooms[:100]])
        await client.say({"type": "join", "rooms": [{"room": room} for room in rooms[100:]], "id": "list"})
        # The rest is for a machine that is busy, or stands still.
        assert await obey(client, set(rooms)) < (len(rooms) - RATE) / RATE + 4


@again_if_uneven(5)
async def test_bytes_are_limited() -> None:
    """Bytes above their rate are refused with the time after which they pass, and the sentence names the limit."""
    async with gateway(message_bytes_rate=50_000, max_message_bytes=10_000, message_rate=0) as running:
        client = await running.connect()
        says = {"type": "broadcast", "room": "a", "payload": "x" * 9_000, "id": "b"}
        await client.say(*[says] * 10)
        answers = [await client.hear() for _ in range(10)]
        refused = [answer["payload"] for answer in answers if answer["type"] == "error"]
        assert 3 <= len(refused) <= 5
        assert {error["code"] for error in refused} == {"rate_limited"}
        assert "50,000 bytes" in refused[0]["message"]
        assert refused[-1]["retry_after_ms"] > refused[0]["retry_after_ms"]
        await asyncio.sleep(refused[-1]["retry_after_ms"] / 1000)
        assert (await client.ask(says))["type"] == "ack"


@pytest.mark.parametrize("data", [b"pong", b"ping", b"unreadable"])
async def test_pings_pongs_and_rubbish_take_of_the_rate(data: bytes) -> None:
    """Each of them is a message. So none of them is a way to send more than the rate."""
    opcode = {b"pong": 10, b"ping": 9, b"unreadable": 1}[data]
    async with gateway(message_rate=0.01, message_burst=10) as running:
        client = await running.connect()
        await client.send(frame(opcode, data) * 10)
        answer = await client.ask({"type": "ping", "id": "p"})
        while answer.get("id") != "p":
            answer = await client.hear()
        assert answer["payload"]["code"] == "rate_limited"


@again_if_uneven(5)
async def test_pongs_that_a_slow_network_brings_together_are_free() -> None:
    """Each answers a ping of its own, although the first one is heard before the others."""
    async with gateway(message_rate=0.1, message_burst=1, ping_interval=0.05, pong_timeout=30) as running:
        client = await running.connect()
        await client.ask({"type": "ping", "id": "p"})
        for _ in range(3):
            for _ in range(5):
                assert (await client.read())[0] == 9
            await client.send(frame(10, b"") * 5)
        # The sixth pong has no ping. It costs more than is left, so its refusal comes before any other message.
        await client.send(frame(10, b"") * 6)
        assert (await client.hear("error"))["payload"]["code"] == "rate_limited"


async def test_a_client_that_was_told_to_wait_may_answer_pings() -> None:
    """The pong that a ping of the gateway asks for is free, so an obeying client hears no refusal of it."""
    async with gateway(message_rate=0.1, message_burst=1, ping_interval=0.1, pong_timeout=30) as running:
        client = await running.connect()
        await client.ask({"type": "ping", "id": "p"})
        for _ in range(5):
            opcode, _ = await client.read()
            assert opcode == 9
            await client.send(frame(10, b""))
