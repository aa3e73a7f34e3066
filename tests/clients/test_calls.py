"""Both SDKs and stock clients of Socket.IO call an application, whose hooks are a module of Python."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from clients.conformance.adapter import Adapter, started
from clients.conformance.timeline import Timeline
from forestay.protocol.codes import ENDINGS, CloseCode
from tests.support import call_hooks
from tests.support.call_hooks import Gate
from tests.support.gateway import Client, Gateway, gateway, token
from tests.support.stock_clients import StockClients, stock_clients

pytestmark = pytest.mark.timeout(120)

RULES = """
[[namespaces]]
path = "/shop"

[[events]]
event = "message"
call = "echo"
"""


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway whose application takes calls, with all doors open."""
    rules = tmp_path / "rooms.toml"
    rules.write_text(RULES)
    async with gateway(
        hooks_module=call_hooks.MODULE, hooks_timeout=20, socketio=True, rooms_file=rules, default_rights="**:rwph"
    ) as running:
        yield running


class Caller:
    """A client of an SDK that calls."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._count = 0

    async def connect(self, url: str, **options: object) -> None:
        await self._adapter.tell({"do": "client", "url": url, "options": options})
        await self._adapter.tell({"do": "token", "value": token("alice")})
        await self._adapter.tell({"do": "connect"})
        while (await self._adapter.take(("state", None)))["state"] != "connected":
            pass

    async def begin(self, method: str, payload: object = None, **more: object) -> str:
        """Call, and return the name by which `outcome` finds the answer."""
        self._count += 1
        name = f"c{self._count}"
        await self._adapter.tell({"do": "call", "method": method, "payload": payload, "as": name} | more)
        return name

    async def outcome(self, name: str) -> dict[str, Any]:
        return await self._adapter.take(("answer", name))

    async def call(self, method: str, payload: object = None, **more: object) -> dict[str, Any]:
        outcome = await self.outcome(await self.begin(method, payload, **more))
        return {key: value for key, value in outcome.items() if key not in ("on", "as") and value is not None}

    async def disconnect(self) -> None:
        await self._adapter.tell({"do": "disconnect"})


@pytest.fixture
async def caller(adapter: Sequence[str]) -> AsyncIterator[Caller]:
    """A client of each SDK."""
    async with started(adapter, Timeline()) as running:
        yield Caller(running)


@pytest.mark.parametrize("transport", ["websocket", "stream"])
async def test_an_sdk_calls_the_application(caller: Caller, pod: Gateway, transport: str) -> None:
    """Over a WebSocket, and where there is none: answers, refusals and failures are the same."""
    await caller.connect(pod.url, transports=[transport])
    payloads: list[object] = ["é\u2028 text", 0, [], {"a": [1.5, None, {"b": ""}]}]
    for payload in payloads:
        assert await caller.call("echo", payload) == {"value": payload}
    assert (await caller.call("whoami"))["value"]["user"] == "alice"
    assert await caller.call("buy") == {"error": "refused", "code": "refused_by_application", "reason": "sold_out"}
    assert (await caller.call("raise"))["code"] == "unavailable"
    assert (await caller.call("large"))["code"] == "unavailable"
    assert (await caller.call("no such method"))["reason"] == "no_such_method"
    assert (await caller.call("x" * 129))["code"] == "bad_message"
    assert (await caller.call("echo", "x" * 70_000))["code"] == "too_large"
    assert await caller.call("hang", timeout_ms=300) == {"error": "unknown_outcome"}


@pytest.mark.parametrize("transport", ["websocket", "stream"])
async def test_many_calls_at_once_are_all_answered(caller: Caller, pod: Gateway, transport: str) -> None:
    """More than the application is asked at once: the others wait, and none of them fails."""
    await caller.connect(pod.url, transports=[transport])
    names = [await caller.begin("echo", number) for number in range(60)]
    assert [(await caller.outcome(name)).get("value") for name in names] == list(range(60))


async def test_a_call_is_not_repeated_after_a_loss(caller: Caller, pod: Gateway) -> None:
    """The application is asked once, and the client says that the outcome is unknown; later calls are answered."""
    gate = Gate("loss")
    await caller.connect(pod.url)
    name = await caller.begin("hold", "loss")
    await asyncio.wait_for(gate.asked.wait(), 10)
    [connection] = pod.running._pod.hub.of_user("alice")
    connection.end(ENDINGS[CloseCode.GOING_AWAY])
    assert (await caller.outcome(name))["error"] == "unknown_outcome"
    assert (await caller.call("echo", 1))["value"] == 1
    gate.opened.set()
    assert gate.count == 1


async def test_a_call_that_is_under_way_fails_at_a_disconnect(caller: Caller, pod: Gateway) -> None:
    """It was sent, so nobody knows; it does not stay without an end."""
    gate = Gate("disconnect")
    await caller.connect(pod.url)
    name = await caller.begin("hold", "disconnect")
    await asyncio.wait_for(gate.asked.wait(), 10)
    await caller.disconnect()
    assert (await caller.outcome(name))["error"] == "unknown_outcome"
    gate.opened.set()


@pytest.fixture
async def clients(js: Path) -> AsyncIterator[StockClients]:
    """Stock clients of Socket.IO."""
    async with stock_clients(js) as running:
        yield running


@pytest.mark.parametrize("transports", [["websocket"], ["polling"]], ids=["websocket", "polling"])
async def test_a_stock_client_gets_the_answer_in_its_ack(
    pod: Gateway, clients: StockClients, transports: list[str]
) -> None:
    """The handler of a server was `socket.on(event, (argument, ack) => ack(answer))`; the client stays as it is."""
    client = clients.open(f"http://127.0.0.1:{pod.port}", token("alice"), transports=transports)
    await client.next("connect")
    assert await client.call("echo", {"a": [1.5, None]}) == {"a": [1.5, None]}
    assert await client.call("echo", 1, "two") == [1, "two"]
    assert await client.call("echo") is None
    assert await client.call("echo", {"base64": "AP8="}) == "AP8="
    assert (await client.ask("whoami"))["wire"] == "socketio"
    # A rule wins over a name of the gateway's own.
    assert await client.call("message", "hi") == "hi"
    assert (await client.ask("join-room", "a"))["room"] == "a"
    assert await client.call("buy") == {
        "ok": False,
        "code": "refused_by_application",
        "message": "none left",
        "reason": "sold_out",
    }
    assert (await client.ask("raise"))["code"] == "unavailable"


async def test_without_an_ack_the_application_is_asked_all_the_same(pod: Gateway, clients: StockClients) -> None:
    """Its answer is dropped, and a refusal is the event `error`."""
    gate = Gate("no ack")
    client = clients.open(f"http://127.0.0.1:{pod.port}", token("alice"), transports=["websocket"])
    await client.next("connect")
    client.emit("hold", "no ack")
    await asyncio.wait_for(gate.asked.wait(), 10)
    gate.opened.set()
    client.emit("buy", 1)
    error = await client.event("error")
    assert (error["code"], error["reason"]) == ("refused_by_application", "sold_out")


async def test_the_method_of_a_namespace_has_its_path_in_front(pod: Gateway, clients: StockClients) -> None:
    """So that the application can tell the events of namespaces apart; a rule names the same method in all of them."""
    client = clients.open(f"http://127.0.0.1:{pod.port}", token("alice"), transports=["websocket"])
    await client.next("connect")
    shop = client.namespace("/shop", token("alice"))
    await shop.next("connect")
    assert (await shop.ask("echo", 1))["message"] == "there is no method 'shop.echo'"
    assert await shop.call("message", 2) == 2


async def test_natives_and_stock_clients_call_the_same_method(pod: Gateway, clients: StockClients) -> None:
    """With one argument the payload is the same."""
    native = await Client.open(pod.port, token("bob"))
    await native.hear("welcome")
    heard = await native.ask({"type": "call", "id": "1", "method": "echo", "payload": {"item": 3}})
    client = clients.open(f"http://127.0.0.1:{pod.port}", token("alice"), transports=["websocket"])
    await client.next("connect")
    assert await client.call("echo", {"item": 3}) == heard["payload"]
