"""One WebSocket connection: messages, refusals, and how it ends."""

import asyncio
import struct
import time
from pathlib import Path

import pytest

from tests.support.even_machine import again_if_uneven
from tests.support.gateway import Client, Closed, frame, gateway, token

PAYLOADS = [
    "1",
    "null",
    '"\\u00e9 \\ud83d\\ude00 é"',
    '{"b":1,"a":2,"a":3}',
    "123456789012345678901234567890.000000000000000000001",
    "1e400",
    "[ 1 , 2 ]",
    '"\\/ \\n"',
    '"\u2028"',
    "[" * 500 + "]" * 500,
]


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_payloads_travel_verbatim(payload: str) -> None:
    """Members receive the bytes of the payload that the client sent."""
    async with gateway() as running:
        alice, bob = await running.join("alice", "chat.a"), await running.join("bob", "chat.a")
        await alice.say(f'{{"type":"broadcast","room":"chat.a","payload":{payload}}}')
        assert f'"payload":{payload},"timestamp"'.encode() in await bob.raw()


REFUSED = [
    ("not json", "bad_json", None, None),
    ('{"type":"ping"', "bad_json", None, None),
    ('{"type":"broadcast","room":"chat.a","payload":NaN}', "bad_json", None, "chat.a"),
    ('{"type":"broadcast","room":"chat.a","payload":"\\ud800"}', "bad_json", None, "chat.a"),
    ("[]", "bad_message", None, None),
    ("5", "bad_message", None, None),
    ('{"room":"chat.a","id":"1"}', "bad_message", "1", "chat.a"),
    ('{"type":7,"id":"1"}', "bad_message", "1", None),
    ('{"type":"jion","id":"1","room":"chat.a"}', "unknown_type", "1", "chat.a"),
    ('{"type":"join","id":"1"}', "bad_message", "1", None),
    ('{"type":"join","room":5,"id":"1"}', "bad_message", "1", None),
    ('{"type":"join","room":"chat.a","id":5}', "bad_message", None, "chat.a"),
    ('{"type":"ping","id":"' + "x" * 65 + '"}', "bad_message", None, None),
    ('{"type":"join","room":"","id":"1"}', "invalid_room", "1", ""),
    ('{"type":"join","room":"@bob","id":"1"}', "invalid_room", "1", "@bob"),
    ('{"type":"join","room":"a b","id":"1"}', "invalid_room", "1", "a b"),
    ('{"type":"join","room":"chat.*","id":"1"}', "invalid_room", "1", "chat.*"),
    ('{"type":"join","room":"' + "x" * 129 + '","id":"1"}', "invalid_room", "1", "x" * 129),
    ('{"type":"join","room":"secret","id":"1"}', "forbidden", "1", "secret"),
    ('{"type":"broadcast","room":"news","payload":1,"id":"1"}', "forbidden", "1", "news"),
    ('{"type":"broadcast","room":"@me","payload":1,"id":"1"}', "forbidden", "1", "@me"),
    ('{"type":"bind","room":"@me","payload":{"type":1},"id":"1"}', "forbidden", "1", "@me"),
    ('{"type":"bind","room":"chat.a","payload":{"type":4294967296},"id":"1"}', "bad_message", "1", "chat.a"),
    ('{"type":"presence","room":"chat.a","id":"1"}', "forbidden", "1", "chat.a"),
    ('{"type":"history","room":"@me","id":"1"}', "forbidden", "1", "@me"),
    ('{"type":"leave","room":"chat.b","id":"1"}', "not_joined", "1", "chat.b"),
    ('{"type":"broadcast","room":"chat.a","payload":1,"key":"k","id":"1"}', "key_needs_history", "1", "chat.a"),
    ('{"type":"broadcast","room":"chat.a","id":"1"}', "bad_message", "1", "chat.a"),
    ('{"type":"auth","payload":{"token":"rubbish"},"id":"1"}', "bad_token", "1", None),
    ('{"type":"auth","id":"1"}', "bad_message", "1", None),
    ('{"type":"broadcast","room":"chat.a","payload":' + "[" * 600 + "]" * 600 + "}", "too_deep", None, "chat.a"),
    ("[" * 30_000, "too_deep", None, None),
]


async def test_a_refusal_has_a_code_and_keeps_the_connection() -> None:
    """Each refusal has a code, a message, and the `id` and `room` that could be read."""
    async with gateway() as running:
        alice = await running.connect(rooms={"chat.*": "rwph", "news": "r"})
        for text, code, id_, room in REFUSED:
            error = await alice.ask(text)
            assert error["type"] == "error", text
            assert error["payload"]["code"] == code, text
            assert error["payload"]["message"]
            assert (error.get("id"), error.get("room")) == (id_, room), text
        assert await alice.silent()


async def test_a_bad_trace_context_is_dropped_and_nothing_else() -> None:
    """The message itself is delivered."""
    async with gateway() as running:
        alice = await running.join("alice", "chat.a")
        bad: object
        for bad in (5, [], "rubbish", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
            await alice.say({"type": "broadcast", "room": "chat.a", "payload": 1, "traceparent": bad, "tracestate": 1})
            assert (await alice.hear("broadcast"))["payload"] == 1


async def test_a_trace_context_reaches_rooms_that_show_it(tmp_path: Path) -> None:
    """Members see the sender's `traceparent` unchanged, and never the `tracestate`."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text('[[rooms]]\npattern = "traced.*"\ntrace = true\n')
    context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with gateway(rooms_file=str(rooms)) as running:
        for room, shown in (("traced.a", context), ("chat.a", None)):
            alice = await running.join("alice", room)
            said = {"type": "broadcast", "room": room, "payload": 1, "traceparent": context, "tracestate": "a=b"}
            heard = await alice.ask(said)
            assert heard.get("traceparent") == shown
            assert "tracestate" not in heard


BROKEN = [
    (frame(1, b"\xff\xfe"), 1007),
    (frame(1, b"x" * 70_000), 1009),
    (frame(1, b"x" * 5_000_000), 1009),
    (b"\x81\xff" + struct.pack("!Q", 1 << 62) + b"\0\0\0\0", 1009),
    (frame(3, b""), 1002),
    (b"\xc1\x80\0\0\0\0", 1002),
    (frame(0, b"continued"), 1002),
    (frame(9, b"x" * 126), 1002),
    (frame(8, b"x"), 1002),
    (frame(8, struct.pack("!H", 1006)), 1002),
    (frame(8, struct.pack("!H", 999)), 1002),
    (frame(8, struct.pack("!H", 5000)), 1002),
    (frame(8, struct.pack("!H", 1000) + b"\xff"), 1007),
    (frame(8, struct.pack("!H", 3000)), 3000),
    (frame(8, struct.pack("!H", 1000)), 1000),
    (frame(8, b""), 1000),
]


@pytest.mark.parametrize(("data", "code"), BROKEN)
async def test_a_protocol_violation_ends_with_its_code_and_a_reason(data: bytes, code: int) -> None:
    """The client gets the close frame, also while it still sends, and nothing after it."""
    async with gateway() as running:
        alice, bob = await running.join("alice", "chat.a"), await running.join("bob", "chat.a")
        try:
            await alice.send(data)
        except ConnectionError:
            pass
        closed = await alice.ended()
        assert closed.code == code
        assert closed.reason
        assert await alice.eof() == b""
        assert await bob.silent()


@again_if_uneven(5)
async def test_a_client_that_answers_pings_stays_and_a_silent_one_is_ended() -> None:
    """The silent client is ended with 4408 and a reason after the pong timeout."""
    async with gateway(ping_interval=0.2, pong_timeout=0.5) as running:
        lively, silent = await running.connect("lively"), await running.connect("silent")
        ended = asyncio.ensure_future(silent.ended())
        while not ended.done():
            opcode, _ = await lively.read()
            if opcode == 9:
                await lively.send(frame(10, b""))
        assert (await ended).code == 4408
        assert await lively.silent()


async def test_a_connection_ends_with_its_token_unless_it_is_renewed() -> None:
    """It ends with 4401 at `exp`. A newer token of the same user extends it; one of another user is refused."""
    async with gateway() as running:
        soon = time.time() + 2.5
        renewed, lapsed = await running.connect("alice", exp=soon), await running.connect("bob", exp=soon)
        refused = await renewed.ask({"type": "auth", "payload": {"token": token("bob")}, "id": "1"})
        assert refused["payload"]["code"] == "identity_changed"
        ack = await renewed.ask({"type": "auth", "payload": {"token": token("alice")}, "id": "2"})
        assert (ack["type"], ack["id"]) == ("ack", "2")
        assert (await lapsed.ended()).code == 4401
        assert time.time() >= soon
        assert await renewed.silent()


async def test_a_renewal_removes_rights_at_once() -> None:
    """The connection leaves rooms that the new token may not join, with a reason."""
    async with gateway() as running:
        alice = await running.join("alice", "chat.a")
        await alice.say({"type": "auth", "payload": {"token": token("alice", rooms={"news": "r"})}})
        left = await alice.hear("left")
        assert (left["room"], left["payload"]["reason"]) == ("chat.a", "forbidden")
        await alice.hear("ack")
        error = await alice.ask({"type": "broadcast", "room": "chat.a", "payload": 1})
        assert error["payload"]["code"] == "forbidden"


async def test_a_flood_is_refused_and_then_ended() -> None:
    """`rate_limited` names the time to retry. A client that goes on regardless is ended with 4429."""
    async with gateway(message_rate=20, message_burst=20) as running:
        wild = await running.connect("wild")

        async def flood() -> None:
            try:
                while True:
                    await wild.say(*[{"type": "ping", "id": "x"}] * 20)
                    await asyncio.sleep(0.1)
            except ConnectionError:
                pass

        flooding = asyncio.ensure_future(flood())
        seen: set[str] = set()

        async def listen() -> None:
            while True:
                heard = await wild.hear()
                if heard["type"] == "error":
                    seen.add(heard["payload"]["code"])
                    assert heard["id"] == "x"
                    assert heard["payload"]["retry_after_ms"] > 0

        with pytest.raises(Closed) as closed:
            await listen()
        assert closed.value.code == 4429
        assert seen == {"rate_limited"}
        flooding.cancel()


async def test_rooms_and_bindings_are_limited() -> None:
    """One more than the limit is refused. Leaving a room allows another."""
    async with gateway(rooms_per_connection=2, message_rate=0) as running:
        alice = await running.connect()
        for room in ("a", "b"):
            await alice.ask({"type": "join", "room": room})
        assert (await alice.ask({"type": "join", "room": "c"}))["payload"]["code"] == "too_many_rooms"
        assert (await alice.ask({"type": "join", "room": "a"}))["type"] == "joined"
        await alice.ask({"type": "leave", "room": "a"})
        assert (await alice.ask({"type": "join", "room": "c"}))["type"] == "joined"
        for kind in range(256):
            await alice.say({"type": "bind", "room": "a", "payload": {"type": kind}})
            await alice.hear("ack")
        refused = await alice.ask({"type": "bind", "room": "a", "payload": {"type": 256}})
        assert refused["payload"]["code"] == "too_many_rooms"


@pytest.mark.parametrize(("policy", "yields"), [("reject", 1), ("replace", 0)])
async def test_the_connections_of_a_user_are_limited(policy: str, yields: int) -> None:
    """The newest or the oldest is ended with 4409 after the upgrade. Other users are not affected."""
    async with gateway(max_connections_per_user=1, user_limit_policy=policy) as running:
        other = await running.connect("bob")
        clients = [await Client.open(running.port, token("alice")) for _ in range(2)]
        assert (await clients[yields].ended()).code == 4409
        await clients[1 - yields].hear("welcome")
        assert await clients[1 - yields].silent()
        assert await other.silent()


async def test_binary_goes_to_the_bound_room_or_the_only_one() -> None:
    """The bytes and the type are unchanged. Without such a room the message is refused."""
    async with gateway() as running:
        alice, bob = await running.join("alice", "chat.a"), await running.join("bob", "chat.a")
        await alice.send(frame(2, b"\0\0\0\x07hello"))
        assert await bob.raw() == await alice.raw() == b"\0\0\0\x07hello"
        await alice.ask({"type": "join", "room": "@me"})
        await alice.send(frame(2, b"\0\0\0\x07"))
        assert await bob.raw() == await alice.raw() == b"\0\0\0\x07"
        await alice.ask({"type": "join", "room": "chat.b"})
        await alice.send(frame(2, b"\0\0\0\x07hello"))
        assert (await alice.hear())["payload"]["code"] == "unbound_type"
        await alice.ask({"type": "bind", "room": "chat.a", "payload": {"type": 7}})
        await alice.send(frame(2, b"\0\0\0\x07bound"))
        assert await bob.raw() == await alice.raw() == b"\0\0\0\x07bound"
        await alice.send(frame(2, b"abc"))
        assert (await alice.hear())["payload"]["code"] == "bad_binary"


async def test_a_protocol_ping_is_answered_with_its_data() -> None:
    """RFC 6455 §5.5.3 requires it."""
    async with gateway() as running:
        alice = await running.connect()
        await alice.send(frame(9, b"are you there"))
        assert await alice.read() == (10, b"are you there")


async def test_a_fragmented_message_is_one_message() -> None:
    """Also with a ping between its fragments."""
    async with gateway() as running:
        alice = await running.connect()
        await alice.send(frame(1, b'{"type":', fin=False) + frame(9, b"x") + frame(0, b'"ping"}'))
        assert (await alice.hear("pong"))["type"] == "pong"
