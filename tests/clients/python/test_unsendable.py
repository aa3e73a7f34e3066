"""What cannot be sent is refused before it is written, with its reason, and costs nobody else anything."""

import array
import ctypes
import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from forestay_client import RefusedError, TooLargeError, UnsendableError
from tests.clients.python.strict import client, strict

cycle: list[object] = []
cycle.append(cycle)
deep: object = 1
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("speak", "code"),
    [
        (lambda room: room.publish(float("nan")), "bad_message"),
        (lambda room: room.publish({"a": [float("inf")]}), "bad_message"),
        (lambda room: room.publish({float("nan"): 1}), "bad_message"),
        (lambda room: room.publish("half of a pair \ud83d"), "bad_message"),
        (lambda room: room.publish({"\udc00": 1}), "bad_message"),
        (lambda room: room.publish(b"bytes"), "bad_message"),
        (lambda room: room.publish({"when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}), "bad_message"),
        (lambda room: room.publish({(1, 2): 3}), "bad_message"),
        (lambda room: room.publish(10**5000), "bad_message"),
        (lambda room: room.publish(cycle), "bad_message"),
        (lambda room: room.publish(deep), "too_deep"),
        (lambda room: room.publish(1, key=""), "bad_message"),
        (lambda room: room.publish(1, key="k" * 129), "bad_message"),
        (lambda room: room.publish(1, key=b"k"), "bad_message"),
        (lambda room: room.publish(1, key="\ud800"), "bad_message"),
        (lambda room: room.publish(1, traceparent=b"00"), "bad_message"),
        (lambda room: room.publish(1, traceparent="\ud800"), "bad_message"),
        (lambda room: room.presence(after="\ud800"), "bad_message"),
        (lambda room: room.history(limit=float("nan")), "bad_message"),
        (lambda room: room.bind(-1), "bad_binary"),
        (lambda room: room.bind(type=True), "bad_binary"),
        (lambda room: room.send(1 << 32, b""), "bad_binary"),
        (lambda room: room.send("7", b""), "bad_binary"),
        (lambda room: room.publish("x" * 2000), "too_large"),
        (lambda room: room.publish("é" * 600), "too_large"),
        (lambda room: room.publish(1, traceparent="x" * 2000), "too_large"),
        (lambda room: room.send(7, b"x" * 1021), "too_large"),
        (lambda room: room.presence(after="x" * 2000), "too_large"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_it_is_written(speak: Callable[[Any], Any], code: str) -> None:
    """A payload that is no JSON, a key that is none, a message that is too large: each is refused; nothing breaks."""
    async with strict(message_bytes=1024) as gateway, client(gateway) as alice:
        room = alice.room("a")
        with pytest.raises(RefusedError) as refused:
            await speak(room)
        assert (refused.value.code, gateway.heard) == (code, [])
        await room.publish("after")
        assert len(gateway.connections) == 1


async def test_a_message_of_exactly_the_limit_is_sent() -> None:
    """The limit is of the whole message in bytes of UTF-8. One more is too large, and the error has both numbers."""
    async with strict(message_bytes=1024) as gateway, client(gateway) as alice:
        room = alice.room("a")
        await room.publish("é")
        empty = gateway.sizes[0][1] - len("é".encode())
        spare = 1024 - empty
        await room.publish("x" * (spare - 2) + "é")
        assert gateway.sizes[1][1] == 1024
        with pytest.raises(TooLargeError, match=r"1,025 bytes.*1,024") as refused:
            await room.publish("x" * (spare - 1) + "é")
        assert (refused.value.size, refused.value.limit) == (1025, 1024)
        await room.send(7, b"x" * 1020)
        assert gateway.closed == []


async def test_what_waits_for_a_connection_is_measured_when_it_comes() -> None:
    """A message that is too large is refused too if its limit was not known when it was published."""
    async with strict(message_bytes=1024) as gateway:
        alice = client(gateway)
        alice.connect()
        with pytest.raises(TooLargeError):
            await alice.room("a").publish("x" * 2000)
        with pytest.raises(RefusedError, match="too_large"):
            await alice.room("r" * 2000).join()
        await alice.disconnect()
        assert (gateway.heard, gateway.closed) == ([], [1000])


@pytest.mark.parametrize("name", ["half \ud800", 7, None])
async def test_a_room_without_a_name_in_utf8_is_refused(name: Any) -> None:
    """A room whose name cannot be written is refused to its caller, and other rooms are joined."""
    async with strict() as gateway:
        alice = client(gateway)
        with pytest.raises(UnsendableError, match=r"invalid_room|bad_message"):
            await alice.room(name).join()
        async with alice:
            await alice.room("a").join()


async def test_an_error_for_an_argument_is_one_of_python_too() -> None:
    """Who caught ValueError or TypeError for a payload before goes on to catch it."""
    async with strict() as gateway, client(gateway) as alice:
        for kind in (ValueError, TypeError, RefusedError):
            with pytest.raises(kind):
                await alice.room("a").publish(float("nan"))


TEXTS = array.array("f", [1.5, 2.5])


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        (b"\x01\x02", b"\x01\x02"),
        (bytearray(b"\x01\x02"), b"\x01\x02"),
        (TEXTS, TEXTS.tobytes()),
        (memoryview(TEXTS), TEXTS.tobytes()),
        (memoryview(b"abcdef")[::2], b"ace"),
        (memoryview(array.array("H", range(6)))[::-2], array.array("H", [5, 3, 1]).tobytes()),
        (memoryview(bytes(range(6))).cast("B", (2, 3)), bytes(range(6))),
        ((ctypes.c_uint16 * 2)(1, 2), array.array("H", [1, 2]).tobytes()),
        (b"", b""),
    ],
)
async def test_any_buffer_goes_as_its_bytes(data: Any, sent: bytes) -> None:
    """Any buffer is sent as its bytes, whatever the type and the order of its items."""
    async with strict() as gateway, client(gateway) as alice:
        heard: list[bytes] = []
        alice.on("binary", lambda message: heard.append(message.data))
        gateway.echoes = True
        await alice.room("a").send(7, data)
        await alice.room("a").publish("after")
        assert heard == [sent]


@pytest.mark.parametrize("data", ["text", 5, [1, 2], None, object(), (ctypes.c_void_p * 1)(0)])
async def test_what_is_no_buffer_is_a_type_error(data: Any) -> None:
    """What has no bytes is a TypeError, and so are objects and pointers, whose bytes are addresses."""
    async with strict() as gateway, client(gateway) as alice:
        with pytest.raises(TypeError, match="bytes or another buffer"):
            await alice.room("a").send(7, data)
        assert gateway.heard == []


async def test_an_odd_answer_breaks_nothing() -> None:
    """A refusal whose fields have other types is a refusal all the same."""
    async with strict() as gateway, client(gateway, timeout=0.5) as alice:
        odd = json.dumps({"type": "error", "id": [], "room": {}, "payload": {"code": 7, "retry_after_ms": "soon"}})
        await gateway.connections[0].send(odd)
        await alice.room("a").publish(1)
