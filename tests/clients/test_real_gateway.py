"""Every SDK works in common cases against gateways with default settings."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from clients.conformance.adapter import Adapter, lane_of, started
from clients.conformance.matching import differences
from clients.conformance.timeline import Timeline
from demo.balancer import Balancer
from demo.pods import Pod
from tests.support.blocking_proxy import blocking
from tests.support.gateway import API_KEY, SECRET, Gateway, call, gateway, token
from tests.support.local_redis import RedisServer

ROOMS = """
[[rooms]]
pattern = "log.*"
presence = true
[rooms.history]
size = 1000
ttl = 60
"""


class Sdk:
    """One client, controlled by its adapter."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.states: list[dict[str, Any]] = []
        adapter.watch = self._watch

    async def tell(self, do: str, **fields: object) -> None:
        await self._adapter.tell({"do": do} | {"as" if name == "as_" else name: fields[name] for name in fields})

    async def expect(self, on: str, **shown: object) -> dict[str, Any]:
        """Asserts that the next event of this kind and room is as given."""
        wanted = {"on": on} | {"as" if name == "as_" else name: shown[name] for name in shown}
        event = await self._adapter.take(lane_of(wanted))
        assert differences(wanted, event, {}) == [], event
        return event

    async def connect(self, url: str, bearer: str | None = None, **options: object) -> None:
        await self.tell("client", url=url, options=options)
        await self.tell("token", value=bearer or token("alice"))
        await self.tell("connect")
        await self.expect("state", state="connecting")
        await self.expect("state", state="connected")

    async def fall_back(self, url: str, **options: object) -> None:
        """Connects where WebSockets are blocked. A client that sees no status asks for a second token."""
        await self.tell("client", url=url, options={"transports": ["websocket", "stream"], **options})
        for _ in range(3):
            await self.tell("token", value=token("alice"))
        await self.tell("connect")
        await self.expect("state", state="connecting")
        await self.expect("state", state="connected")

    async def join(self, room: str) -> None:
        await self.tell("join", room=room, as_=f"join {room}")
        await self.expect("result", as_=f"join {room}")
        await self.expect("joined", room=room)

    async def publish(self, room: str, payload: object) -> dict[str, Any]:
        """Publishes and returns the outcome."""
        await self.tell("publish", room=room, payload=payload, as_="publish")
        answer: dict[str, Any] = (await self.expect("result", as_="publish"))["value"]
        return answer

    async def end(self) -> int:
        return await self._adapter.end()

    def _watch(self, event: dict[str, Any]) -> None:
        if event["on"] == "state":
            self.states.append(event)


@pytest.fixture
async def client(adapter: Sequence[str]) -> AsyncIterator[Sdk]:
    """A client of each SDK."""
    async with started(adapter, Timeline()) as running:
        yield Sdk(running)


@pytest.fixture
def rooms(tmp_path: Path) -> str:
    path = tmp_path / "rooms.toml"
    path.write_text(ROOMS)
    return str(path)


@pytest.fixture
async def pod(rooms: str) -> AsyncIterator[Gateway]:
    async with gateway(rooms_file=rooms) as running:
        yield running


async def test_a_client_speaks_is_heard_and_looks_back(client: Sdk, pod: Gateway) -> None:
    """A published message comes back with its position and is in the history; its user is present."""
    await client.connect(pod.url)
    await client.join("log.a")
    place = await client.publish("log.a", {"text": "ready about"})
    assert place["offset"] == 1
    await client.expect("message", room="log.a", payload={"text": "ready about"}, **{"from": "alice"}, **place)
    await client.tell("history", room="log.a", as_="history")
    await client.expect(
        "result",
        as_="history",
        value={"epoch": place["epoch"], "messages": [{"offset": 1, "payload": {"text": "ready about"}}], "more": False},
    )
    await client.tell("presence", room="log.a", as_="presence")
    await client.expect(
        "result", as_="presence", value={"count": 1, "users": 1, "members": [{"user": "alice", "connections": 1}]}
    )
    await client.tell("disconnect")
    await client.expect("state", state="disconnected")
    assert await client.end() == 0


async def test_what_a_token_does_not_allow_is_refused_by_name(client: Sdk, pod: Gateway) -> None:
    """A join, a publish and a query without the right fail with `forbidden`, and the connection stays."""
    await client.connect(pod.url, token("alice", rooms={"log.*": "r"}))
    await client.tell("join", room="chat.a", as_="join")
    await client.expect("failure", as_="join", error="refused", code="forbidden")
    await client.tell("publish", room="log.a", payload=1, as_="publish")
    await client.expect("failure", as_="publish", error="refused", code="forbidden")
    await client.tell("history", room="log.a", as_="history")
    await client.expect("failure", as_="history", error="refused", code="forbidden")
    await client.join("log.a")
    assert len(client.states) == 2


async def test_bytes_go_both_ways(client: Sdk, pod: Gateway) -> None:
    """Bytes of a bound type reach the room, and come back to the client that bound it."""
    await client.connect(pod.url)
    await client.join("log.a")
    await client.tell("bind", room="log.a", type=7, as_="bind")
    await client.expect("result", as_="bind")
    await client.tell("send", room="log.a", type=7, hex="00ff", as_="send")
    await client.expect("binary", room="log.a", type=7, hex="00ff")


async def test_a_cut_is_made_good(client: Sdk, pod: Gateway) -> None:
    """After a cut the missed messages come from the history, in order and once."""
    balancer = Balancer([pod.port])
    await balancer.open()
    try:
        await client.connect(balancer.url)
        await client.join("log.a")
        await client.publish("log.a", 1)
        balancer.cut()
        for number in range(2, 6):
            await _say(pod, number)
        await client.expect("state", state="connecting", code=1006)
        await client.expect("joined", room="log.a", recovered=True)
        await _say(pod, 6)
        for number in range(1, 7):
            await client.expect("message", room="log.a", payload=number, offset=number)
    finally:
        await balancer.close()


async def test_many_rooms_are_joined_at_the_shipped_rate(client: Sdk, rooms: str) -> None:
    """500 rooms are all joined, and all come back after a cut, while the client publishes; it is never ended."""
    names = [f"chat.{number}" for number in range(500)]
    async with gateway(rooms_file=rooms, rooms_per_connection=500) as pod:
        balancer = Balancer([pod.port])
        await balancer.open()
        try:
            await client.connect(balancer.url)
            for name in names:
                await client.tell("join", room=name, as_=name)
            for name in names:
                await client.expect("result", as_=name)
                await client.expect("joined", room=name)
            balancer.cut()
            await client.expect("state", state="connecting", code=1006)
            await client.expect("state", state="connected")
            for number in range(100):
                await client.tell("publish", room="log.a", payload=number, as_=str(number))
            for number in range(100):
                await client.expect("result", as_=str(number), value={"offset": number + 1})
            for name in names:
                await client.expect("joined", room=name)
            assert [state["state"] for state in client.states] == ["connecting", "connected"] * 2
        finally:
            await balancer.close()


async def test_a_message_that_is_too_large_ends_nothing(client: Sdk, pod: Gateway) -> None:
    """A publish of 70,000 characters is refused by the client, and the connection goes on."""
    await client.connect(pod.url)
    await client.join("log.a")
    await client.tell("publish", room="log.a", payload="x" * 70_000, as_="large")
    await client.expect("failure", as_="large", error="refused", code="too_large")
    await client.publish("log.a", "small")
    assert len(client.states) == 2


async def test_a_token_is_renewed_while_the_connection_lives(client: Sdk, pod: Gateway) -> None:
    """The client renews its token in time, so the connection outlives the first token."""
    first = time.time() + 4
    await client.connect(pod.url, token("alice", exp=first), refresh_margin_ms=2500)
    await client.join("log.a")
    await client.expect("token")
    await client.expect("token")
    await client.tell("token", value=token("alice"))
    await asyncio.sleep(first + 0.5 - time.time())
    await client.publish("log.a", "still here")
    await client.expect("message", room="log.a", payload="still here")
    assert [state["state"] for state in client.states] == ["connecting", "connected"]


async def test_everything_goes_on_where_websockets_are_blocked(client: Sdk, pod: Gateway) -> None:
    """Behind a proxy that refuses upgrades a client has rooms, publishes, pages and recovery all the same."""
    async with blocking(pod.port) as proxy:
        await client.fall_back(proxy.url, max_delay_ms=200)
        assert proxy.blocked >= 1
        await client.join("log.a")
        place = await client.publish("log.a", 1)
        await client.expect("message", room="log.a", payload=1, **{"from": "alice"}, **place)
        for room in ("log.b", "chat.a", "chat.b", "@me"):
            await client.join(room)
        await client.tell("publish", room="chat.a", payload="not for me", echo=False, as_="quiet")
        await client.expect("result", as_="quiet")
        await client.tell("publish", room="chat.a", payload="for all", as_="loud")
        await client.expect("result", as_="loud")
        await client.expect("message", room="chat.a", payload="for all")
        await client.tell("history", room="log.a", as_="history")
        await client.expect("result", as_="history", value={"messages": [{"offset": 1, "payload": 1}], "more": False})
        await client.tell("presence", room="log.a", as_="presence")
        await client.expect("result", as_="presence", value={"users": 1})
        await client.tell("bind", room="log.a", type=7, as_="bind")
        await client.expect("failure", as_="bind", error="refused", code="needs_websocket")
        await client.tell("join", room="no room!", as_="join")
        await client.expect("failure", as_="join", error="refused", code="invalid_room")
        await client.tell("leave", room="log.b", as_="leave")
        await client.expect("result", as_="leave")
        proxy.cut()
        await _say(pod, 2)
        await client.expect("joined", room="log.a", recovered=True)
        await _say(pod, 3)
        for number in (2, 3):
            await client.expect("message", room="log.a", payload=number, offset=number)
        await client.publish("log.a", 4)
        await client.expect("message", room="log.a", payload=4, offset=4)
        assert client.states[-1]["state"] == "connected"


async def test_a_stream_needs_one_place_only(client: Sdk, rooms: str) -> None:
    """Where a user may have one connection, a client changes its rooms all the same, and says what may be missing."""
    async with gateway(rooms_file=rooms, max_connections_per_user=1) as pod:
        await client.connect(pod.url, transports=["stream"])
        for room in ("log.a", "chat.a", "chat.b"):
            await client.join(room)
            await client.publish("log.a", room)
        await client.expect("resync", room="chat.a", reason="missed")
        for number, room in enumerate(("log.a", "chat.a", "chat.b"), 1):
            await client.expect("message", room="log.a", payload=room, offset=number)
        assert [state["state"] for state in client.states] == ["connecting", "connected"]


async def test_a_stream_outlives_its_first_token(client: Sdk, pod: Gateway) -> None:
    """On a stream a new token opens the next stream; the connection stays, and no message is missing."""
    first = time.time() + 2.5
    await client.connect(pod.url, token("alice", exp=first), refresh_margin_ms=1500, transports=["stream"])
    await client.join("log.a")
    await client.expect("token")
    await client.expect("token")
    await client.tell("token", value=token("alice"))
    number = 0
    while time.time() < first + 0.5:
        number += 1
        await _say(pod, number)
        await client.expect("message", room="log.a", payload=number, offset=number)
    await client.publish("log.a", "still here")
    assert [state["state"] for state in client.states] == ["connecting", "connected"]


@pytest.mark.parametrize("over", ["websocket", "stream"])
async def test_a_backend_puts_it_into_a_room(client: Sdk, pod: Gateway, over: str) -> None:
    """A room that a backend puts a client into is like one that it joined, until the backend takes it out."""
    balancer = Balancer([pod.port])
    await balancer.open()
    try:
        await client.connect(balancer.url, transports=[over], max_delay_ms=100)
        for room in ("log.a", "chat.a"):
            await client.publish(room, "before")
            _, answer = await call(pod, "PUT", f"/v1/rooms/{room}/members/alice")
            assert answer["joined"] == 1
            await client.expect("joined", room=room)
        await _say(pod, 2)
        await client.expect("message", room="log.a", payload=2, offset=2)
        # On a stream this opens the next one.
        await client.join("chat.b")
        await _say(pod, 3)
        await client.publish("chat.a", "still here")
        await client.expect("message", room="log.a", payload=3, offset=3)
        await client.expect("message", room="chat.a", payload="still here")
        balancer.cut()
        await _say(pod, 4)
        await client.expect("joined", room="log.a", recovered=True)
        await client.expect("message", room="log.a", payload=4, offset=4)
        await client.expect("joined", room="chat.a", recovered=False)
        _, answer = await call(pod, "DELETE", "/v1/rooms/log.a/members/alice")
        assert answer["removed"] == 1
        for state in ("joined", "joining", "joined", "left"):
            await client.expect("room", room="log.a", state=state)
    finally:
        await balancer.close()


async def test_a_room_that_its_token_does_not_allow_lasts_as_long_as_its_stream(client: Sdk, pod: Gateway) -> None:
    """What a backend allows belongs to one connection: the next stream is refused, and the client says so."""
    await client.connect(pod.url, token("alice", rooms={"log.*": "w", "chat.*": "rw"}), transports=["stream"])
    await client.publish("log.a", 1)
    await call(pod, "PUT", "/v1/rooms/log.a/members/alice")
    await client.expect("joined", room="log.a")
    await client.expect("room", room="log.a", state="joined")
    await client.join("chat.a")
    await client.expect("room", room="log.a", state="left", code="forbidden")
    await client.publish("chat.a", "the others go on")
    await client.expect("message", room="chat.a", payload="the others go on")


@pytest.mark.parametrize("over", ["websocket", "stream"])
async def test_a_deploy_goes_unnoticed(client: Sdk, redis: RedisServer, rooms: str, over: str) -> None:
    """While its pod drains, a client moves to the other pod; no message is missing, late or repeated."""
    environ = {
        "FORESTAY_JWT_SECRET": SECRET,
        "FORESTAY_API_KEY": API_KEY,
        "FORESTAY_ROOMS_FILE": rooms,
        "FORESTAY_BUS_URL": f"{redis.url}?prefix=t{secrets.token_hex(6)}",
        # A client that publishes as fast as it gets acknowledgements.
        "FORESTAY_MESSAGE_RATE": "0",
        "FORESTAY_DRAIN_WINDOW": "2",
        "FORESTAY_DRAIN_LEAD": "1",
    }
    async with AsyncExitStack() as stack:
        old, new = Pod("old", environ), Pod("new", environ)
        for pod in (old, new):
            stack.push_async_callback(pod.kill)
            await pod.start()
        balancer = Balancer([old.port])
        await balancer.open()
        stack.push_async_callback(balancer.close)
        if over == "stream":
            proxy = await stack.enter_async_context(blocking(balancer.port))
            await client.fall_back(proxy.url)
        else:
            await client.connect(balancer.url)
        before = len(client.states)
        await client.join("log.a")
        balancer.add(new.port)
        balancer.rest(old.port)
        old.drain()
        number = 0
        while balancer.through(old.port) or number < 5:
            number += 1
            await client.publish("log.a", number)
            await client.expect("message", room="log.a", payload=number, offset=number)
        await client.expect("moved", rooms=[])
        assert await old.ended() == 0
        await client.publish("log.a", "after all")
        await client.expect("message", room="log.a", payload="after all", offset=number + 1)
        assert client.states[before:] == []
        first = [each for each in balancer.passages if each.pod == old.port and not each.request.startswith(b"POST")][
            -1
        ]
        second = next(each for each in balancer.passages if each.pod == new.port)
        assert second.answered is not None
        assert first.ended is not None
        assert second.answered < first.ended


async def _say(pod: Gateway, payload: object) -> None:
    """Publishes as a backend."""
    body = json.dumps({"payload": payload}).encode()
    status, _ = await call(pod, "POST", "/v1/rooms/log.a/messages", body)
    assert status == 200
