"""Stock Socket.IO clients of npm in the rooms of the gateway, by each way in."""

import time
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.gateway import Client, Gateway, call, frame, gateway, token
from tests.support.stock_clients import StockClients, stock_clients

pytestmark = pytest.mark.timeout(120)

RULES = """
[[rooms]]
pattern = "kept.*"
presence = true
join_leave = true
history = { size = 100, ttl = 60 }

[[namespaces]]
path = "/admin"
join = ["lobby"]

[[events]]
event = "chat message"
room = "kept.{0.room}"
"""


def bytes_of(data: bytes) -> dict[str, str]:
    """Bytes, as the stock clients are told and tell them."""
    return {"base64": b64encode(data).decode()}


@pytest_asyncio.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with the door open."""
    rules = tmp_path / "rooms.toml"
    rules.write_text(RULES)
    async with gateway(
        bus_url="memory://",
        socketio=True,
        rooms_file=rules,
        default_rights="**:rwph",
        max_connections_per_user=3,
        presence_grace=0.05,
    ) as running:
        yield running


@pytest_asyncio.fixture
async def clients(js: Path) -> AsyncIterator[StockClients]:
    """Stock clients."""
    async with stock_clients(js) as running:
        yield running


def url(pod: Gateway) -> str:
    return f"http://127.0.0.1:{pod.port}"


async def heard(native: Client, kind: str) -> dict[str, Any]:
    """The next message of this type; others are skipped."""
    while (told := await native.hear())["type"] != kind:
        pass
    return told


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], None], ids=["websocket", "polling", "default"])
async def test_a_stock_client_shares_rooms_with_native_ones(
    pod: Gateway, clients: StockClients, transports: list[str] | None
) -> None:
    """Messages, events, bytes and news go both ways, over WebSocket, polling, and polling that moves to a WebSocket."""
    client = clients.open(url(pod), token("alice"), transports=transports)
    entered = await client.next("connect")
    # The default client polls first, and may have moved by the time it is let in.
    assert entered["transport"] in (transports or ["polling", "websocket"])
    assert entered["recovered"] is False
    if transports is None:
        assert (await client.next("upgrade"))["transport"] == "websocket"

    native = await pod.join("bob", "kept.a")
    joined = await client.ask("join-room", "kept.a")
    assert (joined["ok"], joined["room"], joined["members"]["users"]) == (True, "kept.a", 2)
    assert (await heard(native, "user-joined"))["payload"] == {"user": "alice"}

    assert (await client.ask("message", {"room": "kept.a", "payload": {"x": 1}, "echo": False}))["offset"] == 1
    told = await heard(native, "broadcast")
    assert (told["from"], told["payload"]) == ("alice", {"x": 1})
    await native.say({"type": "broadcast", "room": "kept.a", "payload": ["y"], "echo": False})
    message = await client.event("message")
    assert (message["room"], message["from"], message["payload"], message["offset"]) == ("kept.a", "bob", ["y"], 2)

    # Bytes inside come as base64 for natives, and as bytes for the other client.
    assert (await client.ask("chat message", {"room": "a", "file": bytes_of(b"\x00\xff")}))["ok"]
    own = await heard(native, "broadcast")
    assert own["payload"] == [{"room": "a", "file": "AP8="}]
    assert await client.event("chat message") == {"room": "a", "file": bytes_of(b"\x00\xff")}
    await native.say({"type": "broadcast", "room": "kept.a", "event": "tick", "payload": [7], "echo": False})
    assert await client.event("tick") == 7

    # A name outside of the grammar, which natives write with escapes.
    assert (await client.ask("join-room", "Zürich ☕"))["room"] == "Zürich ☕"
    await native.say({"type": "broadcast", "room": "Z%C3%BCrich%20%E2%98%95", "payload": 1})
    assert (await client.event("message"))["room"] == "Zürich ☕"

    refused = await client.ask("shout", 1)
    assert (refused["ok"], refused["code"]) == (False, "unknown_type")
    client.emit("join-room", {"no": "room"})
    assert (await client.event("error"))["code"] == "bad_message"
    client.close()
    assert (await client.next("disconnect"))["reason"] == "io client disconnect"
    assert (await heard(native, "user-left"))["payload"] == {"user": "alice"}


async def test_bytes_and_namespaces(pod: Gateway, clients: StockClients) -> None:
    """A buffer as payload is a native binary message; a namespace has rooms of its own, and joins some by itself."""
    client = clients.open(url(pod), token("alice"), transports=["websocket"])
    await client.next("connect")
    native = await pod.join("bob", "b")
    await native.say({"type": "bind", "room": "b", "payload": {"type": 5}})
    await client.ask("join-room", "b")
    assert (await client.ask("message", {"room": "b", "payload": bytes_of(b"\x01"), "type": 9, "echo": False}))["ok"]
    assert await heard(native, "ack")
    assert await native.raw() == b"\x00\x00\x00\x09\x01"
    await native.send(frame(2, b"\x00\x00\x00\x05\x02"))
    message = await client.event("message")
    assert (message["payload"], message["type"]) == (bytes_of(b"\x02"), 5)

    admin = client.namespace("/admin", token("alice"))
    await admin.next("connect")
    await native.say({"type": "broadcast", "room": "admin.lobby", "payload": 1})
    assert (await admin.event("message"))["room"] == "lobby"
    unknown = client.namespace("/nowhere", token("alice"))
    refused = await unknown.next("connect_error")
    assert (refused["message"], refused["active"]) == ("Invalid namespace", False)


async def test_a_refusal_says_why(pod: Gateway, clients: StockClients) -> None:
    """`connect_error` has the reason and its code, and the client does not try again by itself."""
    bad = clients.open(url(pod), "no token", transports=["websocket"])
    refused = await bad.next("connect_error")
    assert (refused["data"]["code"], refused["active"]) == ("bad_token", False)
    assert "not a signed JWT" in refused["message"]
    for _ in range(3):
        await clients.open(url(pod), token("carol"), transports=["websocket"]).next("connect")
    refused = await clients.open(url(pod), token("carol")).next("connect_error")
    assert (refused["data"]["code"], refused["active"]) == (4409, False)


async def test_a_client_stops_where_it_must_and_comes_back_where_it_may(pod: Gateway, clients: StockClients) -> None:
    """After 4403 a client stays away, in all namespaces; after its token has expired it comes back with a new one."""
    soon = time.time() + 3
    renewing = clients.open(url(pod), token("alice", exp=soon), token("alice"), transports=["websocket"])
    static = clients.open(url(pod), token("bob", exp=soon), transports=["polling"])
    stopped = clients.open(url(pod), token("carol"), transports=["websocket"])
    admin = stopped.namespace("/admin", token("carol"))
    for client in (renewing, static, stopped, admin):
        await client.next("connect")

    assert (await call(pod, "DELETE", "/v1/users/carol/connections"))[0] == 200
    for client in (stopped, admin):
        told = await client.next("disconnect")
        assert (told["reason"], told["active"]) == ("io server disconnect", False)

    assert (await renewing.next("disconnect"))["active"] is True
    await renewing.next("connect")
    await static.next("disconnect")
    refused = await static.next("connect_error")
    assert (refused["data"]["code"], refused["active"]) == ("bad_token", False)


async def test_a_client_is_renewed_without_a_new_connection(pod: Gateway, clients: StockClients) -> None:
    """`auth` takes a newer token of the same user, and refuses another user's."""
    client = clients.open(url(pod), token("alice", rooms={"a": "r"}), transports=["websocket"])
    await client.next("connect")
    assert (await client.ask("join-room", "b"))["code"] == "forbidden"
    assert await client.ask("auth", {"token": token("alice", rooms={"b": "r"})}) == {"ok": True}
    assert (await client.ask("join-room", "b"))["ok"]
    assert (await client.ask("auth", {"token": token("bob")}))["code"] == "identity_changed"
