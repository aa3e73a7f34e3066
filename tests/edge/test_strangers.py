"""What strangers can hold on a port is limited, for all of them together, and honest clients still come in."""

import asyncio
import base64
import json
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import structlog
from aiohttp import web

from forestay.edge.client_address import TrustedProxies
from forestay.edge.listening import http_protocol
from forestay.edge.listening.listener import CannotListen, Listener
from forestay.edge.listening.lobby import Lobby, LobbyLimits
from forestay.edge.listening.routes import Routes
from forestay.edge.listening.servers import PublicServer, admit
from forestay.edge.problems import problem
from forestay.edge.request_parts import name_in_path, read_body
from forestay.edge.websocket.open_sockets import MessageLimits
from forestay.protocol.codes import Refusal
from tests.support.gateway import PATIENCE, Client, Gateway, close_clients, gateway, token, upgrade

LIMITS = LobbyLimits(strangers=50, sockets=100, head_bytes=4096, all_bytes=65536, head_timeout=60, answer_timeout=60)
LINE = 2048
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Port:
    """A listening port with one path, and what is in it."""

    number: int
    lobby: Lobby
    listener: Listener
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Until it is set, requests with the query `held` are not answered."""

    async def say(self, data: bytes = b"") -> Client:
        """A stranger that sends `data` and is here to stay."""
        return await Client.open_connection(self.number, data)

    async def holds(self, strangers: int) -> None:
        await self.until(lambda: self.lobby.strangers == strangers)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not true():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def port(host: str = "127.0.0.1", large: int = 0, body_seconds: float = 30, **limits: Any) -> AsyncIterator[Port]:
    """A port. `large`: the size of its answers. `body_seconds`: the time that a body has."""
    lobby = Lobby("public", replace(LIMITS, **limits))

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.query_string == "held":
            await made.held.wait()
        if request.query_string == "admit":
            admit(request)
        return web.Response(text="x" * large or "here")

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        if "known" not in request.query_string:
            return web.Response(status=401, text="who are you?")
        admit(request)
        try:
            return web.Response(text=f"{name_in_path(request)} {len(await read_body(request, 100_000, body_seconds))}")
        except Refusal as refusal:
            return problem(refusal)

    server = PublicServer(
        Routes({"/rooms/{room}/messages": take}, answer), lobby, LINE, MessageLimits(60, 1000), TrustedProxies([])
    )
    listener = Listener(lobby, server.door)
    made = Port(await listener.open(host, 0), lobby, listener)
    try:
        yield made
    finally:
        await close_clients()
        made.held.set()
        listener.close()
        lobby.clear()
        await server.shutdown(1)


def internal_lobby(running: Gateway) -> Lobby:
    parts = running.running._internal._parts
    assert parts is not None
    return parts[1]


async def gone(client: Client) -> bool:
    """Whether the port ends the connection soon."""
    try:
        await asyncio.wait_for(client.reader.read(), 3)
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


async def test_a_silent_connection_is_ended() -> None:
    """The time for a request starts with the connection. Nothing is answered, because nothing was asked."""
    async with port(head_timeout=0.2) as public:
        client = await public.say()
        assert await client.eof() == b""
        await public.until(lambda: public.lobby.sockets == 0)


@pytest.mark.parametrize("start", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n", b"\r\n\r\nG"])
async def test_half_a_request_is_ended_with_408(start: bytes) -> None:
    """A byte now and then does not extend the time."""
    async with port(head_timeout=0.6) as public:
        began = time.monotonic()
        client = await public.say(start)
        # The last byte comes well before the end. One that the port does not read would reset the connection.
        while time.monotonic() - began < 0.3:
            client.writer.write(b"x")
            await asyncio.sleep(0.02)
        head, _, body = (await client.eof()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert json.loads(body)["code"] == "bad_message"
        assert 0.5 < time.monotonic() - began < 5


async def test_an_answer_that_is_not_taken_is_given_up() -> None:
    """A stranger that asks and does not read is ended too."""
    async with port(large=2**26, answer_timeout=0.3) as public:
        client = await public.say(GET)
        assert await client.reader.readexactly(8) == b"HTTP/1.1"
        await public.until(lambda: public.lobby.strangers == 0)
        await public.until(lambda: public.lobby.sockets == 0)
        await client.close()


async def test_the_oldest_silent_connection_goes_for_a_new_one() -> None:
    """With all places taken by silent connections, new requests are answered."""
    async with port(strangers=5) as public:
        silent = []
        for _ in range(5):
            silent.append(await public.say(b"GET"))
            await public.until(lambda: public.lobby.strangers == len(silent))
        assert (await Client.request(public.number, GET)).status == 200
        assert await gone(silent[0])
        assert public.lobby.strangers == 4
        for client in silent[1:]:
            client.writer.write(GET[3:])
            assert (await client.eof()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("limits", [{"sockets": 3}, {"strangers": 3}])
async def test_a_port_that_is_just_full_ends_nobody(limits: dict[str, Any]) -> None:
    """A connection goes only when another one has come."""
    async with port(**limits) as public:
        silent = []
        for _ in range(3):
            silent.append(await public.say(b"GET"))
            await public.holds(len(silent))
        await asyncio.sleep(0.2)
        assert public.lobby.strangers == 3
        fourth = await public.say(b"GET")
        assert await gone(silent[0])
        for client in (*silent[1:], fourth):
            client.writer.write(GET[3:])
            assert (await client.eof()).startswith(b"HTTP/1.1 200")


async def test_sockets_are_limited_also_while_requests_are_answered() -> None:
    """Requests that are being answered stay. Others wait in the backlog until there is room, and then are answered."""
    async with port(sockets=3) as public:
        asked = [await public.say(GET.replace(b"/ ", b"/?held ")) for _ in range(3)]
        await public.until(lambda: public.lobby.strangers == 3)
        waiting = [asyncio.create_task(Client.request(public.number, GET)) for _ in range(5)]
        await asyncio.sleep(0.2)
        assert (public.lobby.sockets, any(task.done() for task in waiting)) == (3, False)
        public.held.set()
        assert {(await task).status for task in waiting} == {200}
        for client in asked:
            assert (await client.eof()).startswith(b"HTTP/1.1 200")


async def test_the_head_of_one_request_is_limited() -> None:
    """Beyond the limit the answer is 431, whether the head is complete or not. It repeats nothing."""
    large = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: canary\r\n" * 400
    async with port() as public:
        for request in (large, large + b"\r\n"):
            client = await Client.request(public.number, request)
            assert (client.status, json.loads(client.body)["code"]) == (431, "too_large")
            assert b"canary" not in client.body


async def test_the_answer_reaches_a_client_that_goes_on_sending() -> None:
    """A head far beyond the limit is read to its end and kept nowhere. The client has the answer, and no reset."""
    async with port(head_timeout=60) as public:
        client = await public.say(b"GET / HTTP/1.1\r\nHost: a\r\n")
        for _ in range(50):
            client.writer.write(b"A: canary\r\n" * 10_000)
            await client.writer.drain()
        client.writer.write(b"\r\n")
        answer = await client.eof()
        assert answer.startswith(b"HTTP/1.1 431")
        assert answer.count(b"HTTP/1.1") == 1
        assert public.lobby._bytes == 0
        client.writer.close()
        await public.holds(0)


async def test_a_refused_client_that_stays_goes_in_its_time() -> None:
    """It has its answer, and neither keeps its socket nor keeps others out."""
    async with port(head_timeout=0.3, strangers=2) as public:
        refused = [await Client.open_connection(public.number, GET[:-2] + b"A: b\r\n" * 2000) for _ in range(2)]
        for client in refused:
            assert (await client.eof()).startswith(b"HTTP/1.1 431")
        assert (await Client.request(public.number, GET)).status == 200
        await public.holds(0)


async def test_unfinished_requests_are_limited_together() -> None:
    """The oldest of those with many bytes go first, small ones stay, and the sum is never above the limit."""
    async with port(all_bytes=16_000, head_bytes=4096, strangers=40) as public:
        small = await public.say(b"GET / HTTP/1.1\r\n")
        large = []
        for number in range(12):
            large.append(await public.say(b"GET / HTTP/1.1\r\nA: " + b"x" * 2000))
            await public.holds(min(number, 6) + 2)
            assert public.lobby._bytes <= 16_000
        assert [await gone(client) for client in large[:5]] == [True] * 5
        assert (await Client.request(public.number, GET)).status == 200
        small.writer.write(b"Host: a\r\n\r\n")
        assert (await small.eof()).startswith(b"HTTP/1.1 200")
        for client in large:
            await client.close()
        await public.until(lambda: public.lobby.sockets == 0)
        assert public.lobby._bytes == 0


async def test_a_stranger_cannot_send_on_while_it_is_answered() -> None:
    """What follows the first request counts like its head. Beyond the limit the connection is ended."""
    async with port() as public:
        client = await public.say(GET.replace(b"/ ", b"/?held "))
        await public.until(lambda: public.lobby.strangers == 1)
        client.writer.write(b"GET / HTTP/1.1\r\nA: " + b"x" * 8192)
        assert await gone(client)
        await public.until(lambda: public.lobby.sockets == 0)


async def test_a_connection_has_one_request() -> None:
    """A second request behind the first one is not answered: it would not come through the door."""
    async with port() as public:
        client = await public.say(GET + GET)
        assert (await client.eof()).count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"get / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\n\n", b"GET /\0 HTTP/1.1\r\n\r\n"],
)
async def test_what_is_no_request_is_answered_at_once(garbage: bytes) -> None:
    """TLS on a plain port, or a line that no request has, does not have to wait for its timeout."""
    async with port() as public:
        assert (await Client.request(public.number, garbage)).status == 400


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"x" * 3000 + b"\r\n\r\n", 431),
        (b"GET /?token=" + b"x" * 3000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA b\r\n\r\n", 400),
    ],
)
async def test_what_cannot_be_read_is_answered_as_clients_read_it(request_: bytes, status: int) -> None:
    """In HTTP/1.1: the library `websockets` reads nothing else. For a line that is too long there is a remedy."""
    async with port() as public:
        client = await public.say(request_)
        answer = await client.eof()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert (b"FORESTAY_MAX_TOKEN_BYTES" in answer) is (status == 431)


async def test_a_request_may_come_in_any_pieces() -> None:
    """Empty lines before it are ignored, and the end of the head is found across pieces."""
    async with port() as public:
        for size in (1, 2, 3, 5):
            client = await public.say()
            data = b"\r\n\r\n" + GET
            for at in range(0, len(data), size):
                await client.send(data[at : at + size])
                await asyncio.sleep(0)
            assert (await client.eof()).startswith(b"HTTP/1.1 200")


async def test_an_accept_without_files_waits() -> None:
    """A process without free files tries again after a rest, says so once, and accepts when there are files again."""
    async with port() as public:
        before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        clients = [socket.socket() for _ in range(5)]
        for one in clients:
            one.settimeout(0)
        loop = asyncio.get_running_loop()
        with structlog.testing.capture_logs() as lines:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                for one in clients:
                    await loop.sock_connect(one, ("127.0.0.1", public.number))
                await asyncio.sleep(0.5)
                # The first one is logged, and those that follow are counted for the next line.
                assert sum(public.listener._failed._counts.values()) <= 1
                assert public.lobby.sockets == 0
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))
            await public.until(lambda: public.lobby.sockets == 5)
        for one in clients:
            one.close()
        failed = [line for line in lines if line["event"] == "connections not accepted"]
        assert [sum(value for value in line.values() if isinstance(value, int)) for line in failed] == [1]


@pytest.mark.parametrize("host", ["*", "::"])
async def test_all_addresses_are_of_both_families(host: str) -> None:
    """`*` and `::` take clients of IPv4 and of IPv6 on one port."""
    async with port(host) as public:
        for address in ("127.0.0.1", "::1"):
            reader, writer = await asyncio.open_connection(address, public.number)
            writer.write(GET)
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()


async def test_a_port_that_is_taken_is_named() -> None:
    """The error has the address, the reason and what to do; so has one for a host that does not exist."""
    async with port() as public:
        lobby = Lobby("public", LIMITS)
        for host, number, advice in (
            ("127.0.0.1", public.number, "choose another port"),
            ("no.such.host.invalid", 0, "the address must be one of this machine"),
        ):
            with pytest.raises(CannotListen, match=rf"{host}:{number}: .*; {advice}"):
                await Listener(lobby, asyncio.Protocol).open(host, number)


async def test_the_internal_port_ends_silent_connections_and_repeats_nothing() -> None:
    """Its limits are those of the public port, and the answer to a malformed request has nothing of it."""
    async with gateway() as running:
        client = await Client.request(
            running.internal_port,
            b"GET /livez HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer canary\r\nbad canary\r\n\r\n",
        )
        assert client.status == 400
        assert b"canary" not in client.body
        assert json.loads(client.body)["code"] == "bad_message"
        lobby = internal_lobby(running)
        assert lobby.limits.head_timeout == 10
        silent = await Client.open_connection(running.internal_port, b"GET /livez")
        while not lobby.strangers:
            await asyncio.sleep(0.01)
        await silent.close()


async def test_an_internal_connection_that_waits_goes_for_others() -> None:
    """With all sockets of the internal port open, idle or silent, a probe is answered."""
    async with gateway() as running:
        lobby = internal_lobby(running)
        lobby._limits = replace(lobby.limits, sockets=4, strangers=4)
        kept = []
        for request in (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /", b""):
            for _ in range(2):
                kept.append(await Client.open_connection(running.internal_port, request))
                await asyncio.sleep(0.05)
        assert lobby.sockets <= 4
        for _ in range(10):
            status, _ = await asyncio.wait_for(running.probe("/livez"), 5)
            assert status == 200


async def test_a_client_is_no_stranger_after_its_handshake() -> None:
    """It is not counted among strangers, and its socket is counted until it is closed."""
    async with gateway() as running:
        lobby = running.running._public._lobby
        client = await running.connect()
        assert (lobby.strangers, lobby.sockets, lobby._bytes) == (0, 1, 0)
        await client.say({"type": "ping"})
        await client.hear("pong")
        await client.close()
        while lobby.sockets:
            await asyncio.sleep(0.01)


async def test_a_token_as_large_as_allowed_fits_into_any_line() -> None:
    """The lines of a request are as long as the largest token, in the header, the query and the subprotocol."""
    async with gateway(max_token_bytes=65536) as running:
        large = token(padding="x" * 48_000)
        assert 60_000 < len(large) < 65_536
        in_base64url = base64.urlsafe_b64encode(large.encode()).decode().rstrip("=")
        for bearer, path, offered in (
            (large, "/ws", None),
            (None, f"/ws?token={large}", None),
            (None, "/ws", f"forestay.v1, base64url.bearer.forestay.{in_base64url}"),
        ):
            client = await Client.request(running.port, upgrade(bearer, path, Sec_WebSocket_Protocol=offered))
            assert client.status == 101
            await client.close()


def post(query: str, size: int, *more: str) -> bytes:
    lines = [f"POST /rooms/a%2Fb/messages?{query} HTTP/1.1", "Host: a", f"Content-Length: {size}", *more, "", ""]
    return "\r\n".join(lines).encode()


async def test_a_known_caller_may_send_a_large_body_and_a_stranger_gets_its_answer() -> None:
    """The rest of a body is read when the caller is known. Another caller that is still sending loses no answer."""
    async with port(all_bytes=2**20) as public:
        client = await public.say(post("known", 90_000) + b"x" * 90_000)
        assert (await client.eof()).endswith(b"\r\n\r\na/b 90000")
        client = await public.say(post("other", 900_000))
        await client.send(b"x" * 900_000)
        assert (await client.eof()).startswith(b"HTTP/1.1 401 ")
        await public.until(lambda: public.lobby.sockets == public.lobby.strangers == 0)


async def test_a_body_is_limited_in_bytes_and_in_time() -> None:
    """Also where the caller is known. One that asks first gets `100 Continue` once it is known."""
    async with port() as public:
        client = await public.say(post("known", 200_000))
        assert (await client.eof()).startswith(b"HTTP/1.1 413 ")
        client = await public.say(post("known", 2, "Expect: 100-continue"))
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"{}")
        assert (await client.eof()).endswith(b"a/b 2")
        client = await public.say(post("other", 2, "Expect: 100-continue"))
        assert (await client.eof()).startswith(b"HTTP/1.1 401 ")
    async with port(body_seconds=0.5) as public:
        client = await public.say(post("known", 10) + b"x")
        assert b"the body was not complete after 0.5 s" in await client.eof()


async def test_a_known_caller_that_does_not_take_its_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no stranger, so the lobby does not limit it."""
    monkeypatch.setattr(http_protocol, "ANSWER_TIMEOUT", 0.3)
    async with port(large=2**26) as public:
        client = await public.say(b"GET /?admit HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await client.reader.readexactly(8) == b"HTTP/1.1"
        assert public.lobby.strangers == 0
        await public.until(lambda: public.lobby.sockets == 0)
        await client.close()
