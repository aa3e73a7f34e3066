"""Socket.IO as its clients expect it: the cases of the public protocol suite above Engine.IO, in our own words.

The others of that suite are cases of Engine.IO's own suite too: see `test_engineio`.
"""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from forestay.protocol.engineio.packets import Times
from tests.conformance.engine_client import hear_close
from tests.conformance.engine_echo import EngineServer, quick
from tests.conformance.socketio_echo import PATH, socketio_server

PATIENCE = 10.0


class Caller:
    """Opens WebSockets of one server."""

    def __init__(self, server: EngineServer, http: ClientSession) -> None:
        self._url = f"http://127.0.0.1:{server.port}{PATH}"
        self._http = http

    async def open(self) -> ClientWebSocketResponse:
        """A WebSocket whose open packet is read."""
        ws = await self._http.ws_connect(self._url, params={"EIO": "4", "transport": "websocket"})
        assert str(await hear(ws)).startswith("0")
        return ws

    async def enter(self) -> ClientWebSocketResponse:
        """The same, in the main namespace."""
        ws = await self.open()
        await ws.send_str("40")
        assert str(await hear(ws)).startswith("40")
        assert await hear(ws) == '42["auth",{}]'
        return ws


async def hear(ws: ClientWebSocketResponse) -> str | bytes:
    """The next message that is no ping."""
    while True:
        message = await ws.receive(PATIENCE)
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
        if message.data != "2":
            return message.data  # type: ignore[no-any-return]


@pytest_asyncio.fixture
async def caller() -> AsyncIterator[Caller]:
    """A caller of a server that pings often, and waits long for each answer."""
    limits = quick(times=Times(0.3, 30.0))
    async with socketio_server(limits) as server, ClientSession() as http:
        yield Caller(server, http)


@pytest.mark.parametrize(
    ("packet", "head", "auth"),
    [
        ("40", "40", {}),
        ('40{"token":"123"}', "40", {"token": "123"}),
        ("40/custom,", "40/custom,", {}),
        ('40/custom,{"token":"abc"}', "40/custom,", {"token": "abc"}),
    ],
    ids=["main", "main with a payload", "custom", "custom with a payload"],
)
async def test_a_client_enters_a_namespace(caller: Caller, packet: str, head: str, auth: dict[str, str]) -> None:
    """CONNECT is answered with an id, and the application has what it brought."""
    ws = await caller.open()
    await ws.send_str(packet)
    entered = str(await hear(ws))
    assert entered.startswith(head)
    fields = json.loads(entered.removeprefix(head))
    assert (list(fields), type(fields["sid"])) == (["sid"], str)
    assert await hear(ws) == f'{head.replace("40", "42", 1)}["auth",{json.dumps(auth, separators=(",", ":"))}]'


async def test_an_unknown_namespace_is_refused(caller: Caller) -> None:
    """The answer is CONNECT_ERROR, word for word that of Socket.IO's own server."""
    ws = await caller.open()
    await ws.send_str("40/random")
    assert await hear(ws) == '44/random,{"message":"Invalid namespace"}'


async def test_a_malformed_connect_closes(caller: Caller) -> None:
    """A packet of no known type before CONNECT closes the WebSocket."""
    ws = await caller.open()
    await ws.send_str("4abc")
    assert await hear_close(ws) == 1002


async def test_a_client_that_enters_nothing_is_closed() -> None:
    """A session without a namespace ends after its time."""
    async with socketio_server(quick(serve_within=0.1)) as server, ClientSession() as http:
        assert await hear_close(await Caller(server, http).open()) == 4408


async def test_a_client_leaves_the_main_namespace(caller: Caller) -> None:
    """Nothing answers, and the session goes on: the next message is a ping."""
    ws = await caller.enter()
    await ws.send_str("41")
    assert (await ws.receive(PATIENCE)).data == "2"


async def test_a_client_leaves_a_custom_namespace(caller: Caller) -> None:
    """The main namespace hears it as before."""
    ws = await caller.enter()
    await ws.send_str("40/custom")
    assert str(await hear(ws)).startswith("40/custom,")
    assert await hear(ws) == '42/custom,["auth",{}]'
    await ws.send_str("41/custom")
    await ws.send_str('42["message","message to main namespace"]')
    assert await hear(ws) == '42["message-back","message to main namespace"]'


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        ('42["message",1,"2",{"3":[true]}]', '42["message-back",1,"2",{"3":[true]}]'),
        ('42456["message-with-ack",1,"2",{"3":[false]}]', '43456[1,"2",{"3":[false]}]'),
    ],
    ids=["an event", "an event with an ack"],
)
async def test_an_event_is_answered(caller: Caller, packet: str, answer: str) -> None:
    """The arguments come back, by an event or by the ack."""
    ws = await caller.enter()
    await ws.send_str(packet)
    assert await hear(ws) == answer


@pytest.mark.parametrize(
    ("head", "answer"),
    [('452-["message",', '452-["message-back",'), ('452-789["message-with-ack",', "462-789[")],
    ids=["an event", "an event with an ack"],
)
async def test_binary_parts_come_back(caller: Caller, head: str, answer: str) -> None:
    """They follow their packet in their order."""
    ws = await caller.enter()
    places = '{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    await ws.send_str(head + places)
    await ws.send_bytes(b"\x01\x02\x03")
    await ws.send_bytes(b"\x04\x05\x06")
    assert [await hear(ws) for _ in range(3)] == [answer + places, b"\x01\x02\x03", b"\x04\x05\x06"]


@pytest.mark.parametrize(
    "packet",
    ["4abc", "42{}", '42abc["message-with-ack",1,"2",{"3":[false]}]'],
    ids=["unknown packet type", "invalid payload format", "invalid ack id"],
)
async def test_a_malformed_packet_closes(caller: Caller, packet: str) -> None:
    """The WebSocket is closed, whatever the client is in."""
    ws = await caller.enter()
    await ws.send_str(packet)
    assert await hear_close(ws) == 1002
