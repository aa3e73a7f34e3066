"""The Python client takes event streams where WebSockets are blocked, and comes back to WebSockets later."""

import asyncio
import contextlib
import ssl
from typing import Any

import pytest
import trustme

from forestay_client import Client, ClientOptions, Options, Position
from forestay_client.codes import Verdict
from forestay_client.handshake import HandshakeError
from forestay_client.sse import Comment, Data, Events, Retry
from forestay_client.transports import Transports
from tests.clients.python.refusing import Refusing, answer, problem, refusing
from tests.support.gateway import PATIENCE
from tests.support.pumping import pump

WELCOME = (
    'retry: 100\ndata: {"type":"welcome","payload":{"connection":"c","user":"ålice","ping_interval_ms":25000,'
    '"pong_timeout_ms":10000,"reconnect_spread_ms":0}}\n\n'
).encode()
EVENTS = {"Content-Type": "text/event-stream"}
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + WELCOME
CHUNKS = b"".join(b"%x;by=proxy\r\n%b\r\n" % (len(part), part) for part in (WELCOME[:85], WELCOME[85:])) + b"0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
BLOCKED = answer(403, "<h1>blocked</h1>")
ENDED = answer(200, 'retry: 4000\ndata: {"type":"close","payload":{"code":1013,"reason":"draining"}}\n\n', EVENTS)


async def asked(there: Refusing, *, transports: Any = ("websocket", "stream"), times: int = 1) -> list[str]:
    """Opens a connection so many times; what was asked for."""
    clock = [0.0]
    ways = Transports(there.url, Options(transports=transports), lambda: clock[0])
    for _ in range(times):
        connection = await ways.open("a.token")
        connection._socket.abort()
        clock[0] += 601.0
    return paths(there)


def paths(there: Refusing) -> list[str]:
    return [request.split(" ")[1] for request in there.requests]


@pytest.mark.parametrize("stream", [STREAM, CHUNKED])
async def test_a_blocked_websocket_is_followed_by_a_stream(stream: bytes) -> None:
    """After the page of a proxy a stream is opened at once, also where a proxy sends it in chunks."""
    async with refusing(BLOCKED, stream) as there:
        assert await asked(there) == ["/ws", "/stream?room=%40me"]
        assert "Authorization: Bearer a.token" in there.requests[1]


async def test_a_websocket_is_tried_again_later() -> None:
    """Streams are taken for five to ten minutes, and then a WebSocket is tried first; the next stay is longer."""
    async with refusing(BLOCKED, STREAM, BLOCKED, STREAM, STREAM) as there:
        stream = "/stream?room=%40me"
        assert await asked(there, times=3) == ["/ws", stream, "/ws", stream, stream]


@pytest.mark.parametrize("refusal", [problem(403, "forbidden", "no"), problem(503, "unavailable", "draining")])
async def test_a_refusal_of_the_gateway_is_raised(refusal: bytes) -> None:
    """What the gateway refuses is no sign of a proxy, and no stream is tried."""
    async with refusing(refusal) as there:
        for _ in range(3):
            with pytest.raises(HandshakeError):
                await asked(there)
        assert set(paths(there)) == {"/ws"}


@pytest.mark.parametrize("lost", [problem(426, "bad_message", "upgrade"), problem(400, "bad_message", "no upgrade")])
async def test_an_upgrade_that_got_lost_is_blocked(lost: bytes) -> None:
    """The gateway says that it was not asked for a WebSocket: a proxy has removed the headers of the upgrade."""
    async with refusing(lost, STREAM) as there:
        assert await asked(there) == ["/ws", "/stream?room=%40me"]


@pytest.mark.parametrize("stream", [ENDED, answer(404), answer(200, "<h1>log in</h1>"), b"", b"nonsense\r\n\r\n"])
async def test_without_a_stream_the_first_refusal_counts(stream: bytes) -> None:
    """Where a stream does not work either, the client tells what became of the WebSocket."""
    async with refusing(BLOCKED, stream) as there:
        with pytest.raises(HandshakeError) as failed:
            await asked(there)
        assert failed.value.ending.code == 403


@pytest.mark.parametrize("refusal", [BLOCKED, problem(400, "bad_message", "no upgrade")])
@pytest.mark.parametrize("stream", [ENDED, answer(502), b""])
async def test_a_stream_that_fails_for_now_is_tried_again(refusal: bytes, stream: bytes) -> None:
    """Where the stream can work later, as after a deploy, a WebSocket that a proxy refuses is no reason to stop."""
    async with refusing(refusal, stream) as there:
        with pytest.raises(HandshakeError) as failed:
            await asked(there)
        after = 4.0 if stream is ENDED else 0.0
        assert (failed.value.ending.verdict, failed.value.ending.retry_after) == (Verdict.RECONNECT, after)


async def test_a_stream_that_ends_before_it_begins_says_when_to_come_back() -> None:
    """The `retry` of a stream that is refused is its Retry-After."""
    async with refusing(ENDED) as there:
        with pytest.raises(HandshakeError) as failed:
            await asked(there, transports=["stream"])
        assert (failed.value.ending.code, failed.value.ending.retry_after) == (1013, 4.0)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_a_stream_and_its_requests_take_the_proxy(scheme: str) -> None:
    """They go through the tunnel that a WebSocket would take, with TLS to the gateway inside of it."""
    authority = trustme.CA()
    inside, outside = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("gateway.test").configure_cert(inside)
    authority.configure_trust(outside)
    asked: list[str] = []
    serving: list[asyncio.Task[Any] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.partition(" HTTP")[0])
        writer.write(STREAM if "/stream" in head else answer(200, '{"offset": 4, "epoch": "e"}'))
        if "/stream" in head:
            with contextlib.suppress(OSError):
                await reader.read()
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().partition(" HTTP")[0])
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        back, onwards = await asyncio.open_connection(*server.sockets[0].getsockname())
        await asyncio.gather(pump(reader, onwards), pump(back, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=inside if scheme == "wss" else None)
    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    options: ClientOptions = {
        "transports": ["stream"],
        "proxy": f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}",
        "ssl": outside if scheme == "wss" else None,
    }
    async with server, proxy, Client(f"{scheme}://gateway.test:7/app/ws", get_token=lambda: "t", **options) as client:
        assert await client.room("a b").publish(1) == Position("e", 4)
    await asyncio.wait({task for task in serving if task is not None}, timeout=PATIENCE)
    tunnelled = "CONNECT gateway.test:7"
    assert asked == [tunnelled, "GET /app/stream?room=%40me", tunnelled, "POST /app/rooms/a%20b/messages"]


@pytest.mark.parametrize("transports", ["stream", ["sse"], [], None])
def test_other_transports_are_refused(transports: Any) -> None:
    """What is no list of transports is an error when the client is made, with the names that there are."""
    with pytest.raises(ValueError, match="'websocket', 'stream'"):
        Client("ws://localhost/ws", get_token=lambda: "", transports=transports)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_read_in_any_pieces(size: int) -> None:
    """Pieces may end anywhere, also in a letter; other ends of lines than those of the format are data."""
    stream = ":\nretry: 70\ndata: å\u2028\x85\ndata:b\r\nid: 7\n\n: alive\n\nevent: x\n\ndata: last\n\n".encode()
    events = Events()
    heard = [each for at in range(0, len(stream), size) for each in events.feed(stream[at : at + size])]
    assert [each for each in heard if not isinstance(each, Comment)] == [
        Retry(0.07),
        Data("å\u2028\x85\nb"),
        Data("last"),
    ]
    assert len(heard) == 5
