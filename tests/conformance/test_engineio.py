"""Engine.IO 4 as its clients expect it: every case of the public protocol suite, in our own words."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from forestay.protocol.engineio.packets import Times
from tests.conformance.engine_client import Browser, code_of, gone, hear, hear_close, moved, polled
from tests.conformance.engine_echo import SUITE, EchoApplication, engine_server, quick

PATIENT = Times(30.0, 30.0)
LIVELY = Times(0.05, 10.0)


@pytest_asyncio.fixture
async def browser(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """A client of a server that echoes. It pings nobody unless a test asks for it: a busy machine pauses for long."""
    times = getattr(request, "param", PATIENT)
    async with engine_server(EchoApplication(), quick(times=times)) as server, ClientSession() as http:
        yield Browser(server, http)


def pings(times: Times) -> pytest.MarkDecorator:
    """Runs a test with these times."""
    return pytest.mark.parametrize("browser", [times], indirect=True, ids=["timed"])


@pings(SUITE.times)
async def test_polling_opens_a_session(browser: Browser) -> None:
    """The open packet has the id, the upgrade that is possible, the timings and the largest payload."""
    status, text = await browser.get()
    opened = json.loads(text[1:])
    sid = opened.pop("sid")
    assert (status, text[0], len(sid)) == (200, "0", 22)
    assert opened == {"upgrades": ["websocket"], "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}


@pytest.mark.parametrize("query", [{"transport": "polling"}, {"EIO": "abc", "transport": "polling"}])
async def test_polling_needs_version_4(browser: Browser, query: dict[str, str]) -> None:
    """A request without EIO=4 is refused with code 5."""
    assert code_of(await browser.request("GET", query)) == (400, 5)


@pytest.mark.parametrize("query", [{"EIO": "4"}, {"EIO": "4", "transport": "abc"}])
async def test_polling_needs_a_transport_that_is_served(browser: Browser, query: dict[str, str]) -> None:
    """A request without a known transport is refused with code 0."""
    assert code_of(await browser.request("GET", query)) == (400, 0)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_session_is_opened_by_get_only(browser: Browser, method: str) -> None:
    """Another method without a session is refused with code 2."""
    assert code_of(await browser.request(method, {"EIO": "4", "transport": "polling"})) == (400, 2)


@pings(SUITE.times)
async def test_a_websocket_opens_a_session(browser: Browser) -> None:
    """The open packet comes as the first message, and offers no upgrade."""
    ws = await browser.socket()
    text = await hear(ws)
    assert isinstance(text, str)
    opened = json.loads(text[1:])
    assert (text[0], len(opened.pop("sid"))) == ("0", 22)
    assert opened == {"upgrades": [], "pingInterval": 300, "pingTimeout": 200, "maxPayload": 1_000_000}


@pytest.mark.parametrize("query", [{}, {"EIO": "abc"}])
async def test_a_websocket_needs_version_4(browser: Browser, query: dict[str, str]) -> None:
    """A handshake without EIO=4 is refused."""
    assert await browser.handshake(query | {"transport": "websocket"}) == 400


@pytest.mark.parametrize("query", [{}, {"transport": "abc"}])
async def test_a_websocket_needs_its_transport_in_the_query(browser: Browser, query: dict[str, str]) -> None:
    """A handshake without transport=websocket is refused."""
    assert await browser.handshake(query | {"EIO": "4"}) == 400


@pytest.mark.parametrize(
    "payload", ["4hello", "4one\x1e4two\x1e4three", "4hello\x1ebAQIDBA=="], ids=["one", "several", "binary"]
)
async def test_a_payload_comes_back(browser: Browser, payload: str) -> None:
    """Text packets, several of them, and binary ones are taken, and come with the next poll in their order."""
    sid = await browser.open()
    assert await browser.post(sid, payload) == (200, "ok")
    assert await browser.get(sid) == (200, payload)


async def test_a_malformed_payload_ends_a_polling_session(browser: Browser) -> None:
    """A packet of no known type is answered 400, and the session is over."""
    sid = await browser.open()
    assert (await browser.post(sid, "abc"))[0] == 400
    assert code_of(await browser.get(sid)) == (400, 1)


async def test_two_polls_at_once_end_the_session(browser: Browser) -> None:
    """The first poll gets the close packet, the second one 400, and the session is over."""
    sid = await browser.open()
    first = asyncio.create_task(browser.get(sid))
    await polled(browser.server, sid)
    assert code_of(await browser.get(sid)) == (400, 3)
    assert await first == (200, "1")
    assert code_of(await browser.get(sid)) == (400, 1)


@pytest.mark.parametrize("message", ["4hello", b"\x01\x02\x03\x04"], ids=["text", "binary"])
async def test_a_message_comes_back_on_a_websocket(browser: Browser, message: str | bytes) -> None:
    """A text packet and a binary message come back as they are."""
    ws = await browser.begin()
    await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
    assert await hear(ws) == message


async def test_a_malformed_packet_ends_a_websocket(browser: Browser) -> None:
    """A packet of no known type closes the WebSocket."""
    ws = await browser.begin()
    await ws.send_str("abc")
    assert await hear_close(ws) == 1002


@pings(LIVELY)
async def test_the_server_pings_by_polling(browser: Browser) -> None:
    """A poll is answered with a ping each time the client has answered the last one."""
    sid = await browser.open()
    for _ in range(3):
        assert await browser.get(sid) == (200, "2")
        assert await browser.post(sid, "3") == (200, "ok")


@pings(SUITE.times)
async def test_a_silent_polling_session_ends(browser: Browser) -> None:
    """After the interval and the timeout without a packet the session is over."""
    sid = await browser.open()
    await gone(browser.server)
    assert code_of(await browser.get(sid)) == (400, 1)


@pings(LIVELY)
async def test_the_server_pings_on_a_websocket(browser: Browser) -> None:
    """A ping comes each time the client has answered the last one."""
    ws = await browser.begin()
    for _ in range(3):
        assert await hear(ws) == "2"
        await ws.send_str("3")


@pings(SUITE.times)
async def test_a_silent_websocket_ends(browser: Browser) -> None:
    """After the interval and the timeout without a packet the WebSocket is closed."""
    ws = await browser.begin()
    assert await hear_close(ws) == 4408


async def test_a_client_closes_a_polling_session(browser: Browser) -> None:
    """Its close packet ends the pending poll with a noop, and the session is over."""
    sid = await browser.open()
    poll = asyncio.create_task(browser.get(sid))
    await polled(browser.server, sid)
    assert await browser.post(sid, "1") == (200, "ok")
    assert await poll == (200, "6")
    assert code_of(await browser.get(sid)) == (400, 1)


async def test_a_client_closes_a_websocket_session(browser: Browser) -> None:
    """Its close packet is answered with a close frame."""
    ws = await browser.begin()
    await ws.send_str("1")
    assert await hear_close(ws) == 1000


async def test_a_session_moves_to_a_websocket(browser: Browser) -> None:
    """After the probe polls end with a noop, and after the upgrade packet the WebSocket carries the session."""
    sid = await browser.open()
    ws = await browser.socket(sid)
    await ws.send_str("2probe")
    assert await hear(ws) == "3probe"
    assert await browser.get(sid) == (200, "6")
    await ws.send_str("5")
    await ws.send_str("4hello")
    assert await hear(ws) == "4hello"


async def test_a_session_that_has_moved_polls_no_more(browser: Browser) -> None:
    """A poll gets 400, and changes nothing."""
    ws = await moved(browser, sid := await browser.open())
    assert code_of(await browser.get(sid)) == (400, 3)
    await ws.send_str("4hello")
    assert await hear(ws) == "4hello"


async def test_a_session_has_one_websocket(browser: Browser) -> None:
    """A second WebSocket is closed, and changes nothing."""
    ws = await moved(browser, sid := await browser.open())
    second = await browser.socket(sid)
    assert await hear_close(second) == 1008
    await ws.send_str("4hello")
    assert await hear(ws) == "4hello"
