"""Nothing that goes out is larger than a message may be, and JSON in a binary message goes to nobody."""

import json
from pathlib import Path

import pytest

from tests.support.gateway import API_KEY, Gateway, call, frame, gateway

LARGEST = 4096
ROOMS = """
[[rooms]]
pattern = "log.*"
history = {size = 5, ttl = 60}
[[rooms]]
pattern = "trace.*"
trace = true
"""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _says(room: str, size: int) -> str:
    """A broadcast with a payload of `size` bytes."""
    says = {"type": "broadcast", "room": room, "payload": "x" * (size - 2), "id": "1"}
    return json.dumps(says | ({"traceparent": TRACE} if room == "trace.a" else {}), separators=(",", ":"))


@pytest.mark.parametrize("room", ["a", "chat." + "x" * 100, "trace.a", "log.a"])
async def test_a_publish_that_would_come_out_too_large_is_refused(room: str, tmp_path: Path) -> None:
    """The refusal says by how many bytes. So many bytes less are delivered, and no message is larger than allowed."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    async with gateway(max_message_bytes=LARGEST, rooms_file=str(rooms)) as running:
        alice, bob = await running.connect('al"ice'), await running.join("bob", room)
        size = LARGEST - len(_says(room, 2)) + 2
        error = await alice.ask(_says(room, size))
        assert (error["id"], error["room"], error["payload"]["code"]) == ("1", room, "too_large")
        size -= int(error["payload"]["message"].split()[-3])
        assert (await alice.ask(_says(room, size + 1)))["payload"]["code"] == "too_large"
        assert (await alice.ask(_says(room, size)))["type"] == "ack"
        delivered = len(await bob.raw())
        assert delivered < LARGEST if room == "log.a" else delivered == LARGEST
        if room == "log.a":
            await bob.say({"type": "history", "room": room, "id": "\x01" * 64})
            assert LARGEST - 40 < len(await bob.raw()) <= LARGEST


async def test_a_backend_is_refused_too() -> None:
    """Over HTTP it is 413, for JSON and for binary, also where the body itself is small enough."""
    async with gateway(max_message_bytes=LARGEST, api_key=API_KEY) as running:
        bob = await running.join("bob", "a")
        for size, status in ((LARGEST - 60, 413), (LARGEST - 120, 200)):
            body = json.dumps({"payload": "x" * size}, separators=(",", ":")).encode()
            assert (await _post(running, body)) == status
        assert len(await bob.raw()) <= LARGEST
        for size, status in ((LARGEST - 3, 413), (LARGEST - 4, 200)):
            assert (await _post(running, b"x" * size, "?type=1", "application/octet-stream")) == status
        assert len(await bob.raw()) == LARGEST


async def test_an_error_repeats_no_endless_room() -> None:
    """A room that is no name can have any length. The error leaves it out, and keeps the `id`."""
    async with gateway() as running:
        alice = await running.connect()
        error = await alice.ask({"type": "join", "room": "\x01" * 9000, "id": "1"})
        assert (error["id"], error["payload"]["code"], "room" in error) == ("1", "invalid_room", False)


async def test_json_in_a_binary_message_goes_to_nobody() -> None:
    """It is refused with what to do, and the token in it reaches no member. A bound type is forwarded."""
    auth = json.dumps({"type": "auth", "payload": {"token": "secret"}}).encode()
    async with gateway() as running:
        alice, bob = await running.join("alice", "chat.a"), await running.join("bob", "chat.a")
        for data in (auth, b" " + auth, b"\xef\xbb\xbf" + auth, auth.decode().encode("utf-16-le"), b"[" + auth + b"]"):
            await alice.send(frame(2, data))
            error = await alice.hear("error")
            assert error["payload"]["code"] == "bad_binary"
            assert "text message" in error["payload"]["message"]
            assert "secret" not in json.dumps(error)
        assert await bob.silent()
        await alice.say({"type": "bind", "room": "chat.a", "payload": {"type": int.from_bytes(auth[:4], "big")}})
        await alice.hear("ack")
        await alice.send(frame(2, auth))
        assert await bob.raw() == auth


async def _post(running: Gateway, body: bytes, query: str = "", kind: str = "application/json") -> int:
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": kind}
    status, _ = await call(running, "POST", "/v1/rooms/a/messages" + query, body, headers)
    return status
