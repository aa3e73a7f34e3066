"""Requests for a WebSocket that are read without aiohttp."""

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from forestay.edge.listening.upgrade_request import read
from tests.support.exposition import scrape
from tests.support.gateway import Client, gateway, token, upgrade

USUAL = (
    b"GET /ws HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nCookie: a=b; c=\r\nX:\t \r\n\r\n"
)
PIECES = (
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\x7f", b"\xe9", b":", b",", b";", b'"', b"?a", b"#", b"%2F", b"/"),
    *(b"\r\nHost: b", b"\r\nContent-Length: 1", b"\r\nTransfer-Encoding: chunked", b"\r\nExpect: 100-continue"),
    *(b"\r\n folded", b"\r\n\r\n", b"\r\nUpgrade: h2c", b"HTTP/1.0", b"POST", b"X y: 1\r\n", b"\r\n: 1", b"A" * 9000),
)


def by_aiohttp(data: bytes) -> tuple[str, str, list[tuple[str, str]]] | None:
    """The method, the target and the headers; None where it refuses `data`."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16, max_line_size=8190, max_field_size=8190)
        messages, _, rest = parser.feed_data(data)
    except Exception:  # noqa: BLE001 - whatever it says, it is a refusal
        return None
    finally:
        loop.close()
    ((message, _),) = messages
    assert not rest
    return message.method, message.path, list(message.headers.items())


@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PIECES), st.integers(0, len(USUAL)), st.integers(0, 9)), max_size=3))
def test_what_is_read_here_is_read_the_same_by_aiohttp(changes: list[tuple[bytes, int, int]]) -> None:
    """A request that is taken without aiohttp means the same to it: no request is seen in two ways."""
    data = USUAL
    for piece, at, cut in changes:
        data = data[:at] + piece + data[at + cut :]
    found = read(data, ["/ws"])
    if found is not None and len(data) <= 8190:
        assert by_aiohttp(data) == ("GET", found.path, list(found.headers.items()))


def test_the_usual_request_is_read() -> None:
    """A request as browsers and libraries send it needs no aiohttp."""
    found = read(USUAL, ["/ws"])
    assert found is not None
    assert (found.headers["cookie"], found.headers["x"]) == ("a=b; c=", "")


@pytest.mark.parametrize(
    "unusual",
    [
        USUAL.replace(b"/ws", b"/ws?token=a"),
        USUAL.replace(b"/ws", b"/other"),
        USUAL.replace(b"HTTP/1.1", b"HTTP/1.0"),
        USUAL.replace(b"Cookie", b"Content-Length: 0\r\nCookie"),
        USUAL.replace(b"Cookie", b"Host: b\r\nCookie"),
        USUAL.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        USUAL.replace(b"Host: example.com\r\n", b""),
        USUAL + b"more",
        USUAL.replace(b"\r\n\r\n", b"\r\n" + b"".join(b"A%d: b\r\n" % number for number in range(65)) + b"\r\n"),
    ],
)
def test_what_is_unusual_is_left_to_aiohttp(unusual: bytes) -> None:
    """A query, a body, a header that comes twice, another version, and bytes behind the request."""
    assert read(unusual, ["/ws"]) is None


def test_no_request_is_slow_to_read() -> None:
    """The time grows with the length of a request, whatever it is made of."""
    for filler in (b" ", b"\t", b"a ", b"a", b"a:\r\n"):
        assert read(b"GET /ws HTTP/1.1\r\nA:" + filler * (2**20 // len(filler)) + b"\0\r\n\r\n", ["/ws"]) is None


@pytest.mark.parametrize("bearer", [None, "no token", token("ada", exp=1), token("ada")])
async def test_the_answer_is_the_same_with_and_without_aiohttp(bearer: str | None) -> None:
    """A refusal has the same head and body both ways, and so has an upgrade. Each is counted once."""
    async with gateway() as running:
        usual = upgrade(bearer, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==", Origin=None)
        unusual = usual.replace(b"\r\n\r\n", b"\r\nX: 1\r\nX: 1\r\n\r\n")
        one, other = await Client.request(running.port, usual), await Client.request(running.port, unusual)
        assert read(usual, ["/ws"]) is not None
        assert read(unusual, ["/ws"]) is None
        without = {"date"}
        assert (one.status, one.body) == (other.status, other.body)
        assert {name: one.headers.get(name) for name in one.headers.keys() - without} == {
            name: other.headers.get(name) for name in other.headers.keys() - without
        }
        found = await scrape(running.internal_port)
        outcome = "ok" if one.status == 101 else str(one.status)
        assert found[f'forestay_handshakes_total{{outcome="{outcome}"}}'] == 2
