"""What an ended connection leaves behind: nothing that only a full garbage collection would free."""

import asyncio
import gc
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from forestay.edge.engineio.polling import Polling
from forestay.edge.engineio.sessions import EngineSessions
from tests.support.gateway import API_KEY, Gateway, frame, gateway, token, upgrade

# Of these, a cycle that each connection leaves would be found as often. What happens once stays below it.
ROUNDS = 20
SOCKETIO = "/socket.io/?EIO=4&transport="


class Bare:
    """A client on a socket without asyncio's transport, which would leave garbage of its own in this process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.socket = socket.socket()
        self.socket.settimeout(0)

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def hear(self, what: bytes) -> None:
        """Read until `what` comes."""
        heard = b""
        while what not in heard:
            more = await asyncio.wait_for(self._loop.sock_recv(self.socket, 65536), 10)
            assert more, heard
            heard += more

    async def all(self) -> bytes:
        """All that comes until the gateway closes the connection."""
        heard = b""
        try:
            while more := await asyncio.wait_for(self._loop.sock_recv(self.socket, 65536), 10):
                heard += more
        except ConnectionError:
            pass
        return heard

    async def end(self) -> None:
        """Read until the gateway closes the connection."""
        await self.all()


@asynccontextmanager
async def bare(port: int) -> AsyncIterator[Bare]:
    """A client that has connected and sent nothing."""
    client = Bare()
    try:
        await asyncio.get_running_loop().sock_connect(client.socket, ("127.0.0.1", port))
        yield client
    finally:
        client.socket.close()


@asynccontextmanager
async def member(pod: Gateway) -> AsyncIterator[Bare]:
    """A client in a room, that spoke there."""
    async with bare(pod.port) as client:
        await client.send(upgrade(token("bob")))
        await client.hear(b'"welcome"')
        for sentence in ('{"type":"join","room":"a"}', '{"type":"broadcast","room":"a","payload":7}', "{bad"):
            await client.send(frame(1, sentence.encode()))
        await client.hear(b'"bad_json"')
        yield client


async def hangs_up(pod: Gateway) -> None:
    async with member(pod):
        pass


async def resets(pod: Gateway) -> None:
    async with member(pod) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def says_goodbye(pod: Gateway) -> None:
    async with member(pod) as client:
        await client.send(frame(8, struct.pack("!H", 1000)))
        await client.end()


async def breaks_the_protocol(pod: Gateway) -> None:
    async with member(pod) as client:
        await client.send(b"\xf0\x80\0\0\0\0")
        await client.end()


async def is_disconnected(pod: Gateway) -> None:
    async with member(pod) as client:
        [connection] = pod.running._pod.hub.of_user("bob")
        await pod.running._pod.backend.disconnect("bob")
        await client.hear(struct.pack("!H", 4403))
        assert connection.ended is not None


async def has_no_token(pod: Gateway) -> None:
    async with bare(pod.port) as client:
        await client.send(upgrade(None))
        await client.end()


async def is_malformed(pod: Gateway) -> None:
    async with bare(pod.port) as client:
        await client.send(b"GET \0 HTTP/1.1\r\n\r\n")
        await client.end()


async def asks_nothing(pod: Gateway) -> None:
    async with bare(pod.port) as client:
        await client.send(b"GET /")


async def probes(pod: Gateway) -> None:
    async with bare(pod.internal_port) as client:
        await client.send(b"GET /livez HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")
        await client.end()


async def publishes(pod: Gateway) -> None:
    async with bare(pod.internal_port) as client:
        head = f"POST /v1/rooms/a/messages HTTP/1.1\r\nHost: pod\r\nAuthorization: Bearer {API_KEY}\r\n"
        await client.send(head.encode() + b"Content-Length: 24\r\n\r\n" + b'{"type":"x","payload":7}')
        await client.hear(b"HTTP/1.1 2")


async def asked(pod: Gateway, request: bytes) -> str:
    """The body of the answer to a request with a connection of its own."""
    async with bare(pod.port) as client:
        await client.send(request)
        return (await client.all()).partition(b"\r\n\r\n")[2].decode()


def http(method: str, path: str, body: str = "") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\nAuthorization: Bearer {token('bob')}\r\n"
    kind = f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{head}{kind}\r\n{body}".encode()


@asynccontextmanager
async def socketio(pod: Gateway) -> AsyncIterator[Bare]:
    """A Socket.IO client on a WebSocket, in a room."""
    async with bare(pod.port) as client:
        await client.send(upgrade(None).replace(b"/ws", f"{SOCKETIO}websocket".encode(), 1))
        await client.hear(b'"sid"')
        await client.send(frame(1, b'40{"token":"%s"}' % token("bob").encode()))
        await client.hear(b"40{")
        await client.send(frame(1, b'421["join-room","a"]') + frame(1, b'422["no such event"]'))
        await client.hear(b"unknown_type")
        yield client


async def polled(pod: Gateway) -> str:
    """The path of a polling session that is in a room."""
    opened = await asked(pod, http("GET", f"{SOCKETIO}polling"))
    path = f"{SOCKETIO}polling&sid={json.loads(opened[1:])['sid']}"
    assert await asked(pod, http("POST", path, "40")) == "ok"
    assert (await asked(pod, http("GET", path))).startswith("40{")
    assert await asked(pod, http("POST", path, '421["join-room","a"]')) == "ok"
    assert '"ok":true' in await asked(pod, http("GET", path))
    return path


def engine(pod: Gateway) -> EngineSessions:
    assert pod.running._socketio is not None
    return pod.running._socketio.sessions


async def leaves_the_other_doors(pod: Gateway) -> None:
    async with socketio(pod), bare(pod.port) as client:
        await client.send(http("GET", "/stream?room=a"))
        await client.hear(b'"joined"')
        assert await asked(pod, http("POST", "/rooms/a/messages", '{"payload":1}')) == "{}"


async def polls(pod: Gateway) -> None:
    """One client closes its session, and another one vanishes while it polls."""
    assert await asked(pod, http("POST", await polled(pod), "1")) == "ok"
    path = await polled(pod)
    async with bare(pod.port) as client:
        await client.send(http("GET", path))
        [session] = engine(pod)._by_sid.values()
        assert isinstance(session.carrier, Polling)
        while session.carrier._poll is None:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "visit",
    [
        leaves_the_other_doors,
        polls,
        *(hangs_up, resets, says_goodbye, breaks_the_protocol, is_disconnected),
        *(has_no_token, is_malformed, asks_nothing, probes, publishes),
    ],
)
async def test_an_ended_connection_is_freed_without_the_collector(visit: Callable[[Gateway], Awaitable[None]]) -> None:
    """However a connection ends, it leaves no reference cycle: full collections are rare, so cycles would pile up."""
    async with gateway(close_timeout=0.2, socketio=True) as pod:
        for _ in range(3):
            await visit(pod)
        await _settled(pod)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(ROUNDS):
                await visit(pod)
            await _settled(pod)
            gc.collect()
            found = Counter(type(one).__qualname__ for one in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert not {name: number for name, number in found.items() if number >= ROUNDS}


async def _settled(pod: Gateway) -> None:
    """Wait until the pod has forgotten all connections, subscriptions and timers of the visits."""
    while pod.running._pod.subscriptions.rooms() or pod.running._admission.sockets or len(engine(pod)):
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
